#!/bin/sh
# The long rounds of the tests, a part at a time: soak.sh [PART...]. Without one, all of them, one after the other.
# Two parts can run side by side. Each prints its seeds; what it counted adds up with what other runs counted.
set -e
cd "$(dirname "$0")/../.."

# part NAME WHAT FILE...: runs a part that was asked for
part() {
  name=$1 what=$2
  shift 2
  case " $wanted " in
    *" list "*) echo "$name: $what" ;;
    *" $name "*) echo "== $name: $what"; SOAK=1 npx vitest run --config test/vitest.config.ts "$@" ;;
  esac
}

parts() {
  part faults 'servers, networks, disks and bytes in trouble, 30 minutes (SOAK_MINUTES, FAULT_SEED, FAULT_NAMES, FAULT_CASE, FAULT_LOG)' \
    test/faults/faults.test.ts
  part fuzz 'every parser, a minute each (FUZZ_SECONDS, FUZZ_NAMES, FAULT_SEED)' test/faults/fuzz-
  part kills 'runs that are killed, followed, or side by side' \
    test/e2e/migrate-killed.test.ts test/e2e/migrate-follow.test.ts test/e2e/repository-many.test.ts
  part properties 'thousands of random inputs for what the short round gives a few' \
    test/writers/live-v3-model.test.ts test/writers/snapshot-file-keyspaces.test.ts test/faults/good-archives.test.ts test/readers/live-v3-pages.test.ts \
    test/readers/snapshot-file test/kubernetes/codec.test.ts test/cli/shown-text.test.ts test/wire/bbolt.test.ts
  part combinations 'random sources, commands and targets beside a model, 30 minutes (SOAK_MINUTES, COMBINATION_SEED, COMBINATIONS)' \
    test/combinations
}

all='faults fuzz kills properties combinations'
wanted=${*:-$all}
for name in $wanted; do
  case " $all list " in
    *" $name "*) ;;
    *) echo "soak: there is no part $name; the parts are: $all" >&2; exit 2 ;;
  esac
done
parts
