import { PakError } from '../../errors.ts'
import type { Invocation } from '../grammar.ts'

/** The script that a shell sources. All three ask `pak __complete` for candidates. */
export async function completion({ words }: Invocation): Promise<string> {
  const [shell = ''] = words
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined
  if (script === undefined)
    throw new PakError('usage', `completion \`${shell}\`: expected bash, zsh or fish`)
  return script
}

const BASH = `# bash completion for pak: source <(pak completion bash)
_pak() {
  local current="\${COMP_WORDS[COMP_CWORD]}" candidate
  local -a candidates=()
  COMPREPLY=()
  while IFS= read -r candidate; do
    candidates+=("$candidate")
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  for candidate in "\${candidates[@]}"; do
    if [[ $candidate == :files ]]; then
      compopt -o default 2>/dev/null
      while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
      done < <(compgen -f -- "$current")
      return
    fi
    COMPREPLY+=("$candidate")
  done
}
complete -F _pak pak
`

const ZSH = `#compdef pak
# zsh completion for pak: source <(pak completion zsh)
_pak() {
  local -a candidates
  candidates=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${candidates[1]}" == ":files" ]]; then
    _files
    return
  fi
  compadd -- "\${(@)candidates:#}"
}
if [[ "\${funcstack[1]}" == "_pak" ]]; then
  _pak "$@"
else
  compdef _pak pak
fi
`

const FISH = `# fish completion for pak: pak completion fish | source
function __pak_complete
    set -l typed (commandline -opc) (commandline -ct)
    set -l candidates (pak __complete -- $typed[2..-1] 2>/dev/null)
    if test "$candidates[1]" = ":files"
        __fish_complete_path (commandline -ct)
        return
    end
    printf '%s\\n' $candidates
end
complete -c pak -f -a '(__pak_complete)'
`

const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH }
