#!/usr/bin/env python3
"""Speed and memory against Docker's own engine, as ratios of the same run.

bench/run.py OURS_HOST ORACLE_HOST [--rounds 5] [--only PART ...] [--json FILE]

Both daemons run, with nothing else to do. Every round measures a part on one daemon and then on the other, so that
what else happens on the machine hits both; a figure is the median of the rounds' medians, a ratio the median of the
rounds' ratios. Identical daemons gave ratios up to 1.25 for the median of three rounds: less is no difference.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "support"))
import measures

# Metric -> the ratio that is promised. A ratio is ours / Docker's: lower is better.
TARGETS = {
    "API start, bridge": 0.08, "API start, none": 0.08, "API start, host": 0.15,
    "create+start+wait+remove, bridge": 0.08, "create+start+wait+remove, none": 0.08,
    "exec, back to back": 0.10, "exec, after a quiet second": 0.25,
    "docker run --rm": 0.20, "docker exec": None,
    "50 starts by 8 clients": 0.08, "removal of the 50": None,
    "memory with 100 running (PSS)": 0.08, "idle memory (RSS)": 0.15,
    "1000 names, one at a time": None, "1000 names, 64 at a time": None, "1000 names, 4 containers": None, "API start, user's network": 0.08,
    "a million lines to the log": 0.30, "the log by the API": 0.06, "500 MiB attached, no log": 1 / 3,
    "docker cp of 200 MiB in": 0.7, "docker cp of 200 MiB out": 0.6, "docker stats of 50": 0.5, "one sample of stats": 0.01,
    "a health check, beyond its process": None,  # 200 a second in 5 % of a core are 0.25 ms
    "network create": 0.10, "network remove": 0.10, "start with ten ports": 0.06, "removal with ten ports": 0.05,
    "round trip by 127.0.0.1": 0.5, "round trip by ::1": None, "round trip by the kernel": 1.1,
    "docker load of 340 MB": 0.40, "docker save of 340 MB": 0.20, "docker push of 340 MB": 0.15, "docker pull of 340 MB": 0.40,
    "docker build, cold": 0.15, "docker build, cached": 0.60, "docker build, COPY of 200 MB": 0.40,
    "GET /version": 1 / 50, "list of 100 containers": 1 / 30, "inspect": None,
}


def measure(part, sides, rounds, results):
    """Runs a part in turn on both sides; what it yields is {metric: value}."""
    for number in range(rounds):
        pair = []
        for side in sides if number % 2 == 0 else sides[::-1]:
            pair.append((side, part(side)))
        for side, values in pair:
            for metric, value in values.items():
                results.setdefault(metric, {}).setdefault(side.name, []).append(value)
        print(".", end="", flush=True, file=sys.stderr)


def report(results):
    print("%-36s %12s %12s %8s %8s  %s" % ("", "ours", "Docker", "ratio", "target", ""))
    missed = 0
    for metric, values in results.items():
        ours, theirs = values["ours"], values["docker"]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs) if b)
        target = TARGETS.get(metric)
        verdict = "" if target is None else "ok" if ratio <= target else "MISSED"
        missed += verdict == "MISSED"
        unit = "MiB" if "memory" in metric else "ms"
        print("%-36s %8.3f %-3s %8.3f %-3s %8.4f %8s  %s" % (
            metric, statistics.median(ours), unit, statistics.median(theirs), unit, ratio,
            "" if target is None else "%.3f" % target, verdict))
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours")
    parser.add_argument("oracle")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=10, help="repetitions within a round")
    parser.add_argument("--only", nargs="*", help="parts: %s" % " ".join(measures.PARTS))
    parser.add_argument("--json")
    given = parser.parse_args()
    sides = [measures.Side("ours", given.ours, given.count), measures.Side("docker", given.oracle, given.count)]
    results = {}
    for name, (part, once) in measures.PARTS.items():
        if not given.only or name in given.only:
            measure(part, sides, 1 if once else given.rounds, results)
    print(file=sys.stderr)
    if given.json:
        with open(given.json, "w") as file:
            json.dump(results, file, indent=1)
    print("%d rounds of %d on %s processors, kernel %s" % (given.rounds, given.count, os.cpu_count(), os.uname().release))
    print(subprocess.run(["docker", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip())
    return 1 if report(results) else 0


sys.exit(main())
