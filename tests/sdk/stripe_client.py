"""What Stripe's own package makes of the gate's Stripe: the same calls, made by it, and webhooks that it signs and checks.

Reads one JSON document from its input: `calls` to make at `base`, `hooks` to check, `bodies` to sign. Prints one with what came of the hooks and bodies.
"""

import json
import sys
import time

import stripe


def client(base, key):
    return stripe.StripeClient(key, base_addresses={"api": base}, max_network_retries=0)


def make(client, call):
    """Makes a call by the name of its method in the package; that what it asks for is not there does not matter, only how it is asked for."""
    method = client
    for part in call["does"].split("."):
        method = getattr(method, part)
    options = {"idempotency_key": call["key"]} if call["key"] else {}
    try:
        method(*call["of"], params=call["params"], options=options)
    except stripe.StripeError as error:
        print(f"{call['does']}: {error}", file=sys.stderr)


def check(hook):
    """The type of an event that was signed elsewhere."""
    return stripe.Webhook.construct_event(hook["body"], hook["signature"], hook["secret"]).type


def sign(body):
    """A header by the package's own arithmetic."""
    now = int(time.time())
    signed = stripe.WebhookSignature._compute_signature(f"{now}.{body['body']}", body["secret"])
    return f"t={now},{stripe.WebhookSignature.EXPECTED_SCHEME}={signed}"


def main():
    asked = json.load(sys.stdin)
    calls = client(asked["base"], asked["key"])
    for call in asked["calls"]:
        make(calls, call)
    done = {"hooks": [check(hook) for hook in asked["hooks"]], "signatures": [sign(body) for body in asked["bodies"]]}
    print(json.dumps(done))


main()
