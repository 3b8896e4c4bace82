"""testssl.sh at the router's HTTPS port, and openssl for what it can't see: resumed sessions."""

import json
import os
import shutil
import subprocess
import sys

import program

BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
# What testssl.sh counts against this trial but not against the router.
EXCUSED = {
    "cipher_order": "all that is offered is equally strong, and a phone without AES in hardware may choose ChaCha20",
    "cert_chain_of_trust": "the certificate of the trial is signed by itself",
    "cert_trust": "as above",
    "cert_revocation": "as above, and certificates of some months have no revocation any more",
    "cert_caa_record": "nobody asks a name server for localhost",
    "security_headers": "they are the app's affair",
}


def testssl(trial, quick):
    """How many findings there are."""
    found = os.path.join(trial.dir, "testssl.json")
    some = ["--fast", "--protocols", "--server-preference", "--server-defaults", "--headers"] if quick else []
    name = "testssl" if shutil.which("testssl") else "testssl.sh"
    done = subprocess.run([name, "--quiet", "--warnings", "batch", "--nodns", "none", "--color", "0", "--jsonfile", found, "--ip", "127.0.0.1", *some,
                           f"localhost:{trial.router.https}"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    with open(found) as file:
        findings = json.load(file)
    bad = [one for one in findings if one["severity"] in BAD and one["id"].split(" ")[0] not in EXCUSED]
    for one in bad:
        print(f"testssl.sh: {one['severity']}: {one['id']}: {one['finding']}")
    said = {one["id"]: one["finding"] for one in findings}
    # It has really looked: without these, it would find nothing bad in a port that does not answer.
    if "TLS1_3" not in said or not said["TLS1_3"].startswith("offered"):
        print(f"testssl.sh did not get to the end:\n{done.stdout[-2000:]}")
        return 1
    print(f"testssl.sh: {len(findings)} looks, {len(bad)} of them bad")
    return len(bad)


def resumption(trial):
    """A session that was begun is gone on with, by 1.2 and 1.3."""
    wrong = 0
    for version in ("tls1_2", "tls1_3"):
        session = os.path.join(trial.dir, version)
        said = ""
        for way in ("-sess_out", "-sess_in"):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{trial.router.https}", "-servername", "localhost", f"-{version}", way, session,
                                   "-ign_eof"], capture_output=True, text=True, input="GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", timeout=60)
            said = done.stdout
        if "Reused, TLSv1" not in said or "hello world" not in said:
            wrong += 1
            print(f"a session of {version} is not resumed")
    print(f"{2 - wrong} of 2 sessions are resumed")
    return wrong


def main():
    options = program.arguments(__doc__)
    with program.Trial(options.router) as trial:
        wrong = testssl(trial, options.quick) + resumption(trial)
    sys.exit(1 if wrong else 0)


main()
