"""
The formats clients speak: chat completions, messages, responses. Pure functions, bytes in and frozen data out.

`request.parse` reads what we act on from a body and leaves the rest alone; `growth` knows what of a conversation was
read before; `whole` reads all of it, for who wants the words or has to say what is wrong; `conversation` is what the
three formats have in common; `answer` writes what we say ourselves: decisions and errors, in the client's own shape.
"""
