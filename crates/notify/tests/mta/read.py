"""Reads the messages named as arguments as strictly as Python's library can, and says in JSON what stands in them.

A defect anywhere, in a header's syntax too, ends it with an error.
"""

import email
import email.policy
import json
import sys

STRICT = email.policy.strict.clone(raise_on_defect=True, max_line_length=998)


def read(path):
    with open(path, "rb") as file:
        octets = file.read()
    message = email.message_from_bytes(octets, policy=STRICT)
    defects = [str(defect) for part in message.walk() for defect in part.defects]
    for name, value in message.items():
        defects += [f"{name}: {defect}" for defect in value.defects]
    if defects or message.is_multipart():
        raise ValueError(f"{path}: {defects or 'more than one part'}")
    (sender,), (recipient,) = message["From"].addresses, message["To"].addresses
    return {
        "message_id": message["Message-ID"].strip(),
        "subject": message["Subject"],
        "from": [sender.display_name, sender.addr_spec],
        "to": recipient.addr_spec,
        "date": int(message["Date"].datetime.timestamp()),
        "type": [message.get_content_type(), message.get_content_charset()],
        "encoding": message["Content-Transfer-Encoding"].lower(),
        "auto": message["Auto-Submitted"],
        "body": message.get_content().replace("\r\n", "\n"),
    }


print(json.dumps([read(path) for path in sys.argv[1:]]))
