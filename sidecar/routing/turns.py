"""
Whose turn it is (`routing.route_on_user_only`): the user's, who says something new, or the agent's, which works on it.

One wish of a user becomes many requests: each step of the loop sends the tool results so far. Plano, whose key this is,
routes at the user's turns only and lets all steps until the next one keep that decision
(https://github.com/katanemo/plano/blob/main/docs/routing-api.md, "Turn-level routing"); so it is here, within a session.
The pin then is the decision of the turn:

- a request that brings no new words of the user (tool results, reminders of the harness, the assistant's own beginning)
  is answered by the pin, as any request is without the key;
- new words of the user are routed anew, and the pin moves to the outcome. Where no classifier could judge, it stays.

All else about pins holds as ever: it expires when the session falls silent, a failure moves it, `x-sidecar-pin` is
obeyed, and what an operator pins by hand lasts until the user's next words. The same words sent again, by a client that
tries again, are routed again. The task that a sub-agent is given looks like words of a user: with `lanes: by_agent` it is
a turn of the sub-agent's own lane, without lanes one of the session.

Two differences from Plano: messages of the harness that follow the user's (Claude Code ends with one of role `system`)
do not hide them, and a picture without words, which says nothing to a classifier, stays with the model of the turn.
"""

from sidecar.routing.intent import LATEST_HEAD, LATEST_TAIL, wish
from sidecar.wire.conversation import Conversation, Role


def is_users(conversation: Conversation) -> bool:
    """Whether the user's own words come after all that an assistant or a tool has said."""
    for turn in reversed(conversation):
        if turn.role in (Role.ASSISTANT, Role.TOOL):
            return False
        if turn.role is Role.USER and wish(turn.text, LATEST_HEAD, LATEST_TAIL):
            return True
    return False
