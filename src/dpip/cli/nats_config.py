"""``dpip nats-config``: what an external NATS server has to know."""

from dpip.cli.output import say_json
from dpip.cli.service import DataDir, TlsCa, TlsCert, TlsKey, settings_from


def nats_config(
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    data_dir: DataDir = None,
) -> None:
    """Print the rules for an external NATS server, to be included in its configuration.

    They hold a secret of the data directory: keep them readable by the server alone.
    """
    from dpip import compose

    settings = settings_from(data_dir=data_dir, tls_cert=tls_cert, tls_key=tls_key, tls_ca=tls_ca)
    rules = compose.message_server_rules(settings)
    say_json(rules, indent=2)
