"""Command: a page that says which errors cost how much AP, on which photographs."""

from keras_simplepose.config import ReportConfig
from keras_simplepose.flags import run_command

DESCRIPTION = """Analyses COCO keypoint results: which errors cost how much AP, and where.

One self-contained HTML page with AP and AR and their confidence intervals over photographs, by size, labelled
keypoints, crowding and keypoint; the kinds of errors (jitter, inversion, swap, miss, poses of nobody, missed persons)
with the AP gained if each were corrected; precision over recall, calibration of the scores; and the worst and median
persons drawn, ground truth beside prediction. All figures stand in analysis.json as well. `evaluate --report` writes
the same at once."""


def main(config: ReportConfig) -> None:
    """Writes the report and says what costs most."""
    from keras_simplepose.reporting.page import between, share
    from keras_simplepose.reporting.report import verdict, write_report

    page, figures, analysis = write_report(config)
    ap, ar = analysis.ap, analysis.ar
    print(f"AP {share(ap.value)} ({between(ap)}), AR {share(ar.value)} ({between(ar)})")
    print(verdict(analysis))
    print(f"page      {page}\nfigures   {figures}")


if __name__ == "__main__":
    run_command(main, "report", DESCRIPTION, ReportConfig)
