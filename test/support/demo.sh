#!/usr/bin/env bash
# The main jobs, as a user would do them, on real etcds: a v3 cluster into an archive and on into
# another cluster, and a v2 tree over to v3. Ends by comparing what arrived, key by key.
set -euo pipefail
cd "$(dirname "$0")"
source ./demo-common.sh
source "$root/test/support/demo-v3.sh"
source "$root/test/support/demo-v2.sh"
printf '\nAll keys and values arrived equal: %d of the v3 cluster in its copy, %d of the v2 tree in v3.\n' \
  "$(wc -l <cluster.keys)" "$(wc -l <moved.keys)"
