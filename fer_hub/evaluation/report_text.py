"""A report as text for people."""


def as_text(results: dict, split: str) -> str:
    """The numbers of a split for people, a line each."""
    numbers = results[split]
    meaning = "" if results["label_set"] == "fer2013" else f", labels {results['label_set']}"
    drawn = ", drawn faces" * results["synthetic"]
    lines = [f"{results['model']} on {results['dataset_name']}, {split}{meaning}{drawn}"]
    left_out = results["classes_left_out"]
    told = [f"{count:,} images of {name}" for name, count in left_out["images_by_class"].items()]
    told += [f"the model's class {name}" for name in left_out["of_model"]]
    told += [f"{count:,} images: {why}" for why, count in results["labels_left_out"].items()]
    if told:
        lines.append(f"  left out: {', '.join(told)}")
    lines += _headlines("all images", numbers)
    if "dedup" in numbers:
        lines += _headlines("without images also in train", numbers["dedup"])
    if "flip" in numbers:
        lines += _headlines("mean with the mirror image", numbers["flip"])
    at = ", ".join(
        f"{100 * accuracy:.1f} % at {share} %" for share, accuracy in numbers["coverage"]["accuracy_at"].items()
    )
    lines.append(f"  accuracy of the surest images: {at}")
    for name, scores in numbers["per_class"].items():
        lines.append(
            f"  {name:10} precision {scores['precision']:.3f}  recall {scores['recall']:.3f}  F1 {scores['f1']:.3f}  "
            f"n {scores['support']:,}"
        )
    if "robustness" in numbers:
        robust = numbers["robustness"]
        lines.append(
            f"  corrupted images: accuracy {100 * robust['mean_corruption_accuracy']:.1f} % on average; same first "
            f"choice mirrored {100 * robust['consistency']['flip']:.1f} %, moved by 2 pixels "
            f"{100 * robust['consistency']['shift']:.1f} %"
        )
        for name, found in robust["corruptions"].items():
            lines.append(f"    {name:16}" + "".join(f"{100 * accuracy:6.1f}" for accuracy in found["accuracy"]))
    if "ferplus" in numbers:
        lines += _crowd(numbers["ferplus"])
    if "groups" in numbers:
        lines += [f"  {numbers['groups']['by']} {value}: accuracy {100 * part['accuracy']:.1f} % "
                  f"({100 * part['interval'][0]:.1f}-{100 * part['interval'][1]:.1f}), n {part['n']:,}"
                  for value, part in numbers["groups"]["values"].items()]  # fmt: skip
        gap = numbers["groups"]["largest_gap"]
        if gap:
            lines.append(
                f"  largest gap {100 * gap['gap']:.1f} points ({gap['highest']} over {gap['lowest']}), "
                f"p {gap['p']:.4f} ({gap['n']:,} shuffles)"
            )
    return "\n".join(lines)


def _headlines(what: str, numbers: dict) -> list[str]:
    low, high = numbers["interval"]
    f1_low, f1_high = numbers["intervals"]["macro_f1"]
    return [
        f"  {what}, n {numbers['n']:,}",
        f"    accuracy {100 * numbers['accuracy']:.2f} % (95 % {100 * low:.2f}-{100 * high:.2f}), balanced "
        f"{100 * numbers['balanced_accuracy']:.2f} %, top-2 {100 * numbers['top2_accuracy']:.2f} %",
        f"    macro-F1 {numbers['macro_f1']:.3f} (95 % {f1_low:.3f}-{f1_high:.3f}), loss {numbers['loss']:.4f}, "
        f"ECE {numbers['ece']:.3f}, Brier {numbers['brier']:.3f}",
    ]


def _crowd(found: dict) -> list[str]:
    (low, high), errors = found["interval"], found["errors"]
    return [
        f"  FER+ majority, n {found['n']:,}: accuracy {100 * found['accuracy']:.1f} % (95 % {100 * low:.1f}-"
        f"{100 * high:.1f}), FER2013's own labels {100 * found['label_accuracy']:.1f} %",
        *(
            f"    {100 * part['above']:.0f} to {100 * part['up_to']:.0f} % of the votes agree, n {part['n']:,}: "
            f"accuracy {100 * part['accuracy']:.1f} %"
            for part in found["by_agreement"]
        ),
        f"    distribution of the votes, n {found['n_distribution']:,}: cross-entropy {found['cross_entropy']:.4f}, "
        f"KL {found['kl']:.4f}",
        f"    of {errors['n']:,} errors the crowd sides with the model in {100 * errors['with_model']:.1f} %, with the "
        f"label in {100 * errors['with_label']:.1f} %, with neither in {100 * errors['with_neither']:.1f} %, is "
        f"undecided in {100 * errors['undecided']:.1f} %",
    ]
