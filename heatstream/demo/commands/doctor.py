"""``heatstream doctor``: what works on this machine, what is missing, and how to get it."""

from __future__ import annotations

__all__ = ["doctor"]


def doctor() -> None:
    """Look at this machine: what works, what is missing, how to get it.

    Nothing is opened, changed or sent anywhere, and the exit code is always 0.
    """
    from rich.table import Table
    from rich.text import Text

    from heatstream.demo.machine_checks import examine
    from heatstream.demo.terminal.tables import console_for

    words = {"ok": Text("ok", "green"), "none": Text("not here", "yellow"), "bad": Text("broken", "bold red")}
    findings = examine()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(words[finding.state], Text(finding.name), Text(finding.detail))
        if finding.remedy:
            table.add_row("", "", Text(f"-> {finding.remedy}", "cyan"))
    console = console_for()
    console.print(table)
    broken = [finding.name for finding in findings if finding.state == "bad"]
    if broken:
        console.print(f"\nBroken: {', '.join(broken)}. Follow the arrows.", markup=False)
    else:
        console.print("\nReady. Try: heatstream run 0 (a camera), or heatstream run VIDEO --save out.mp4")
