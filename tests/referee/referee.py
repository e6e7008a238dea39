"""What bob.bio.vein says of the same palms: its own error rates on our regions of interest, and ours computed anew from our scores.

usage: referee.py SCORES REGIONS OUR_REPORT.json

SCORES has four columns, REGIONS the folders gallery and probes with regions of interest and masks, all written by
`madoguchi-sim palm evaluate`. One line of JSON goes to standard output. bob.bio.vein is a tool of this test, in a process of its
own; nothing of it is linked or shipped.
"""

import json
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy
from PIL import Image

import bob.measure
from bob.bio.vein.algorithm import MiuraMatch
from bob.bio.vein.extractor import MaximumCurvature

# Scale of the profiles' curvature and search range, in pixels of a region of 128 × 128 with 0.6 mm each.
SIGMA = 3
SEARCH = 20


def our_scores(path):
    """Impostors' and genuine scores of a file with four columns."""
    negatives, positives = [], []
    for line in Path(path).read_text().splitlines():
        claimed, real, _, score = line.split()
        (positives if claimed == real else negatives).append(float(score))
    return numpy.array(negatives), numpy.array(positives)


def rates(negatives, positives):
    """Equal error rate and FNMR at FMR 1e-2 and 1e-3, as bob.measure computes them."""
    found = {"equal_error_rate": bob.measure.eer(negatives, positives)}
    for fmr in (1e-2, 1e-3):
        threshold = bob.measure.far_threshold(negatives, positives, fmr)
        found[f"fnmr_at_{fmr:g}"] = bob.measure.farfrr(negatives, positives, threshold)[1]
    return {name: float(rate) for name, rate in found.items()}


def features(folder, extractor):
    """The first picture of each subject, as a map of its veins; and the mean time that takes, in ms."""
    found, times = {}, []
    for path in sorted(folder.glob("*.png")):
        if path.stem.endswith("-mask"):
            continue
        subject = path.stem.rsplit("_", 2)[0]
        if subject in found:
            continue
        image = numpy.array(Image.open(path), dtype="float64")
        mask = numpy.array(Image.open(path.with_name(path.stem + "-mask.png"))) > 0
        began = time.process_time()
        found[subject] = extractor((image, mask))
        times.append(1e3 * (time.process_time() - began))
    return found, float(numpy.mean(times))


def main(scores, regions, report):
    negatives, positives = our_scores(scores)
    ours = json.loads(Path(report).read_text())
    recomputed = rates(negatives, positives)
    said = ours["rates"]
    difference = abs(recomputed["equal_error_rate"] - said["equal_error_rate"]["rate"])
    for at in said["at_fmr"]:
        name = f"fnmr_at_{at['fmr']:g}"
        if name in recomputed:
            difference = max(difference, abs(recomputed[name] - at["fnmr"]["rate"]))

    extractor, matcher = MaximumCurvature(sigma=SIGMA), MiuraMatch(ch=SEARCH, cw=SEARCH)
    gallery, extraction = features(Path(regions) / "gallery", extractor)
    probes, _ = features(Path(regions) / "probes", extractor)
    theirs, times = ([], []), []
    for subject, probe in probes.items():
        for reference, model in gallery.items():
            began = time.process_time()
            score = float(numpy.ravel(matcher.score(model, probe))[0])
            times.append(1e3 * (time.process_time() - began))
            theirs[subject == reference].append(score)
    result = {
        "ours_recomputed": recomputed,
        "largest_difference_to_what_we_said": difference,
        "bob_maximum_curvature": rates(*map(numpy.array, theirs)),
        "genuine": len(theirs[True]),
        "impostor": len(theirs[False]),
        "bob_extraction_ms": extraction,
        "bob_comparison_ms": float(numpy.mean(times)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
