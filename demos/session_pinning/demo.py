"""
An agent builds a task-management app in five steps, first without a session, then with one.

Standard library only. Asks the sidecar at $SIDECAR_URL (default http://127.0.0.1:12000) for routing decisions; no
model is called. Exits 0 when the models varied without pinning and did not with it, 1 when either is not so, 2 when
the sidecar cannot be asked.
"""

import json
import os
import sys
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("SIDECAR_URL", "http://127.0.0.1:12000").rstrip("/")

STEPS = (
    ("Design the API", "Design a REST API schema for a task management app with users, projects and tasks."),
    ("Choose a database", "Analyze the trade-offs between SQL and NoSQL databases for storing the app's tasks."),
    ("Write the models", "Write the SQLAlchemy models for users, projects and tasks."),
    ("Review security", "Review the API design for security vulnerabilities and explain the risk of each."),
    ("Implement auth", "Implement JWT authentication middleware for the API."),
)

WIDTH = 78


def main() -> int:
    print("An agent builds a task-management app in five steps of different intent.\n")
    varied = run_without_session()
    print()
    kept = run_with_session(f"demo-{uuid.uuid4()}")
    return 0 if varied and kept else 1


def run_without_session() -> bool:
    models = run("Without X-Session-Id: every step is routed on its own", {})
    distinct = sorted({model for model, _ in models})
    if len(distinct) > 1 and not any(pinned for _, pinned in models):
        print(f"✗ Models varied: {', '.join(distinct)}")
        return True
    print(f"? Expected the models to vary, got {models}")
    return False


def run_with_session(session: str) -> bool:
    models = run(f"With X-Session-Id: {session}", {"X-Session-Id": session})
    distinct = {model for model, _ in models}
    if len(distinct) == 1 and [pinned for _, pinned in models] == [False] + [True] * (len(models) - 1):
        print(f"✓ All {len(models)} steps routed to {distinct.pop()}")
        return True
    print(f"? Expected one model, pinned from the second step on, got {models}")
    return False


def run(title: str, headers: dict[str, str]) -> list[tuple[str, bool]]:
    """The steps in order; each step's model and whether it was pinned. Draws a box around them."""
    print(f"┌─ {title} {'─' * (WIDTH - len(title) - 3)}┐")
    models = []
    for number, (name, prompt) in enumerate(STEPS, 1):
        decision = ask(prompt, headers)
        models.append((decision["model"], decision["pinned"]))
        line = f"{number}. {name:<18} → {decision['model']} (pinned={str(decision['pinned']).lower()})"
        print(f"│ {line:<{WIDTH - 2}} │")
    print(f"└{'─' * WIDTH}┘")
    return models


def ask(prompt: str, headers: dict[str, str]) -> dict:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    request = urllib.request.Request(
        f"{URL}/routing/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except urllib.error.HTTPError as exc:
        sys.exit(f"The sidecar at {URL} answered {exc.code}: {exc.read().decode(errors='replace')}")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as exc:
        print(f"No sidecar at {URL}: {exc}", file=sys.stderr)
        sys.exit(2)
