import { TAG_WORDS } from '../../model/logging.ts'

/** Who wrote a line. */
export interface Sender {
  readonly name: string
  readonly id: string
  readonly image: string
  readonly project: string
  readonly service: string
  readonly labels: Readonly<Record<string, string>>
}

/** One line of a container, or what pak has to say about them. */
export interface Message {
  readonly severity: Severity
  /** RFC 3339 with up to nine digits of a second. */
  readonly time: string
  readonly text: Buffer
  /** False: its end is another message. */
  readonly whole: boolean
}

/** RFC 5424, 6.2.1. */
export type Severity = 3 | 4 | 6

const SHORT_ID = 12

/** Docker's words in the template of a tag. */
export function tagOf(template: string, sender: Sender): string {
  const values: Readonly<Record<(typeof TAG_WORDS)[number], string>> = {
    Name: sender.name,
    ID: sender.id.slice(0, SHORT_ID),
    FullID: sender.id,
    ImageName: sender.image,
    DaemonName: 'pak',
  }
  return TAG_WORDS.reduce(
    (text, word) =>
      text.replaceAll(new RegExp(`\\{\\{\\s*\\.${word}\\s*\\}\\}`, 'g'), () => values[word]),
    template,
  )
}
