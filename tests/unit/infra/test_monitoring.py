"""Rules and dashboard ask for counters that exist, and tell people where to read on."""

import json
import re

import yaml

from components.shared.code import ROOT
from pipelines.cluster.check import WORKSPACE_CLAIM
from serving.gateway.metrics import Metrics

MONITORING = ROOT / "infra/monitoring"
RULES = [rule for group in yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
# Of what a cluster has anyway: kube-state-metrics and the kubelet.
CLUSTERS = {
    "kube_deployment_status_replicas_available",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
}


def counters(expression):
    """The names of counters in an expression of Prometheus."""
    return set(re.findall(r"\b(?:rats|kube|kubelet)_\w+", re.sub(r'"[^"]*"', "", expression)))


def test_rules_and_dashboard_name_counters_that_exist():
    metrics = Metrics()
    metrics.requests.labels("200").inc()
    metrics.pictures.labels("m", 3).inc()
    metrics.seconds.labels("m", 3).observe(1)
    exist = set(re.findall(r"^(rats_\w+)[{ ]", metrics.text().decode(), re.MULTILINE)) | CLUSTERS
    expressions = [rule["expr"] for rule in RULES]
    expressions += [target["expr"] for panel in PANELS for target in panel.get("targets", [])]
    for expression in expressions:
        assert counters(expression), expression
        assert counters(expression) <= exist
    assert not counters('rate(rats_request_total{status=~"5.."}[5m])') <= exist  # a planted one is found


def test_every_rule_waits_is_weighed_and_has_a_page_to_read():
    for rule in RULES:
        assert rule["for"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"`{rule['alert']}`" in (ROOT / rule["annotations"]["runbook"]).read_text()
    assert any(WORKSPACE_CLAIM in rule["expr"] for rule in RULES)
