#!/usr/bin/env bash
# `import openvino` alone queues an event of telemetry for Google Analytics, with an id of the machine's user, the system and
# whether it is a container, without asking: no consent was given, and no tool was called. The wheel depends on the package
# that does it; where that package cannot be imported, OpenVINO works the same. Nothing is sent here: a list is the sender.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openvino==2026.4.1 openvino-telemetry==2025.2.0 numpy==2.4.6
export HOME=$work
unset CI
"$work/venv/bin/python" - <<'PY'
from openvino_telemetry.utils.sender import TelemetrySender

queued = []
TelemetrySender.send = lambda self, backend, message: queued.append(message)
import openvino

events = [str(message) for message in queued]
print(f"openvino {openvino.__version__}: {len(events)} events after the import: {events}")
reported = any("general_import" in event and "client_id" in event for event in events)
raise SystemExit(not reported)
PY
"$work/venv/bin/python" -c '
import sys
sys.modules["openvino_telemetry"] = None
import openvino
print("without the package:", openvino.Core().available_devices)
'
