"""What each proxy is held to under an attack."""

MOST_GROWTH = 64e6
# The 99th percentile beside an attack is to stay within twice that before it. Below the first, the difference is that of the
# attacker, who has the core of the normal clients; above the second, before anything happened, the machine is too busy to judge.
NOTICED_MS = 25.0
BUSY_MS = 10.0


def broken(figures):
    """The promises that an attack broke."""
    if "failed" in figures:
        return [f"no figures: {' '.join(figures['failed'].split())[:160]}"]
    words = []
    if figures["grown_mb"] * 1e6 >= MOST_GROWTH:
        words.append(f"memory grew by {figures['grown_mb']:.0f} MB")
    if figures["normal_failures"]:
        words.append(f"{figures['normal_failures']} requests of normal clients failed: {figures['why']}")
    if is_judged(figures) and figures["p99_ratio"] > 2 and figures["p99_during_ms"] > NOTICED_MS:
        words.append(f"p99 of normal clients went from {figures['p99_before_ms']:.1f} ms to {figures['p99_during_ms']:.1f} ms")
    if not figures["lives"]:
        words.append("it did not answer afterwards")
    return words


def is_judged(figures):
    """Whether the latencies say anything."""
    return bool(figures["p99_before_ms"] and figures["p99_before_ms"] < BUSY_MS and figures["p99_during_ms"])


def verdict(figures):
    """The same in a word or two."""
    words = broken(figures)
    if words:
        return "**" + "; ".join(words) + "**"
    return "held" if is_judged(figures) else "held; p99 not judged"
