/** Where messages go. It belongs to one container, and connects when there is something to send. */
export interface Sink extends Disposable {
  /**
   * In order. Resolves when the kernel, or who speaks to it for pak, has taken all of them, however long that
   * takes; rejects with the reason when they have to be sent again. What is disposed of rejects at once.
   */
  send(messages: readonly Buffer[]): Promise<void>
}

export class SinkClosed extends Error {
  constructor() {
    super('closed')
  }
}
