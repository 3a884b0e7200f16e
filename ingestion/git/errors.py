"""What the errors of Git mean for people, and the way out."""

from __future__ import annotations

import re

from ingestion.documents import shortened
from ingestion.exceptions import SourceError
from ingestion.git.address import Address
from ingestion.git.credentials import Secret
from ingestion.git.program import GitFailed

LONGEST = 300  # characters of Git's own words

# What Git or ssh says, in the order in which it is looked for, and what that means.
MEANINGS = (
    (
        r"Host key verification failed",
        "{host} shows another key than GIT_KNOWN_HOSTS has for it, or one that is not there: "
        "compare it with the key that the host publishes, and add that.",
    ),
    (
        r"Permission denied|Authentication failed|could not read (Username|Password)"
        r"|terminal prompts disabled|returned error: 40[13]|Invalid username or|HTTP Basic: Access",
        "{host} does not let the credential {credential} in: check the secret, that it has not "
        "expired, and that it may read this repository.",
    ),
    (
        r"returned error: 30[12378]|unable to update url base from redirection",
        "{host} leads to another address, which is not followed: give that one.",
    ),
    (
        r"not found|does not appear to be a git repository|returned error: 404|access denied"
        r"|not exported|does not exist|No such file",
        "There is no repository at this address, or the credential {credential} may not see it: "
        "correct the address, or name a credential.",
    ),
    (
        r"certificate|SSL|TLS",
        "{host} shows a certificate that is not believed here: correct it, or name the authority "
        "in GIT_CA_FILE.",
    ),
    (
        r"Connection refused|timed out|unreachable|Failed to connect|Could not connect"
        r"|hung up|early EOF|reset by peer|returned error: 5\d\d|Connection closed"
        r"|Operation too slow",
        "{host} does not answer, or broke off: run the source again later.",
    ),
    (r"No space left", "The disk is full: make room below STATE_DIR."),
)


def explained(error: GitFailed, address: Address, secret: Secret) -> SourceError:
    """An error for people, with Git's last words, in which the secret is hidden."""
    words = _last_words(secret.left_out_of(error.words))
    host = address.host or "The folder"
    credential = repr(secret.name) if secret.name else "(none)"
    for pattern, meaning in MEANINGS:
        if re.search(pattern, error.words, re.IGNORECASE):
            said = meaning.format(host=host, credential=credential)
            return SourceError(f"{said} Git says: {words}")
    return SourceError(f"The repository cannot be read. Git says: {words}")


def _last_words(text: str) -> str:
    """The last errors in one line, without what moves a cursor."""
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    telling = [line for line in lines if re.match(r"(fatal|error|remote|ssh|ERROR)\b", line)]
    chosen = " ".join((telling or lines)[-3:]) or "nothing"
    return shortened("".join(c for c in chosen if c.isprintable()), LONGEST)
