#!/usr/bin/env bash
# accelerate: `launch --cpu --num_processes 2` starts one process, and says nothing.
#
# The help calls --num_processes "the total number of processes to be launched in parallel". With --cpu the count takes
# effect only beside --mpirun_hostfile, as a count for MPI; else it is dropped without a warning and the script runs
# alone in a world of one. A test that two processes learn what one learns then compares one process with
# itself, and passes. torchrun starts two for the same script, and accelerate's own state sees both.
#
# Seen with accelerate 1.15.0 and torch 2.13.0: "accelerate launch: process 0 of 1" and "torchrun: process 0 of 2,
# process 1 of 2".
# Exits 0 while that is so, 1 once it is not.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cd "$place"
cat >script.py <<'PY'
import accelerate

state = accelerate.PartialState(cpu=True)
print(f"process {state.process_index} of {state.num_processes}", flush=True)
PY
export HF_HOME="$place/home" OMP_NUM_THREADS=1 PATH="$place/venv/bin:$PATH"
python -c "import accelerate; print('accelerate', accelerate.__version__)"
options="--cpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
# shellcheck disable=SC2086
alone=$(accelerate launch $options script.py)
both=$(torchrun --standalone --nproc_per_node 2 script.py | sort)
printf 'accelerate launch: %s\ntorchrun: %s\n' "$alone" "${both//$'\n'/, }"
[ "$alone" = "process 0 of 1" ] && [ "$both" = $'process 0 of 2\nprocess 1 of 2' ]
