import type { Argv } from 'yargs';
import { type Command, type Declared, examples, exitStatus } from './command.js';
import { put } from './terminal.js';

const BASH = `###-begin-etcdferry-completions-###
_etcdferry_completions()
{
    local words
    words=$(etcdferry --get-yargs-completions "\${COMP_WORDS[@]}" 2>/dev/null)
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}")
    [ \${#COMPREPLY[@]} -eq 0 ] && compopt -o default
    return 0
}
complete -o bashdefault -F _etcdferry_completions etcdferry
###-end-etcdferry-completions-###
`;

const ZSH = `#compdef etcdferry
_etcdferry_completions()
{
    local -a words
    words=("\${(@f)$(etcdferry --get-yargs-completions "\${words[@]}" 2>/dev/null)}")
    _describe 'etcdferry' words || _files
}
compdef _etcdferry_completions etcdferry
`;

const FISH = `complete -c etcdferry -a '(etcdferry --get-yargs-completions (commandline -opc) (commandline -ct) 2>/dev/null)'
`;

const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;

const build = (yargs: Argv) =>
  yargs
    .positional('shell', { choices: ['bash', 'zsh', 'fish'] as const, demandOption: true, describe: 'The shell to complete in' })
    .epilogue(examples(['in ~/.bashrc', 'source <(etcdferry completion bash)'], ['in fish', 'etcdferry completion fish | source']))
    .epilogue(exitStatus(0, 2));

type Arguments = Declared<typeof build>;

export const completionCommand: Command<Arguments> = {
  spec: 'completion <shell>',
  describe: 'Print a script that completes commands and flags in a shell',
  build,
  run: async (args, terminal) => {
    await put(terminal, SCRIPTS[args.shell]);
    return 0;
  },
};
