"""The page of all steps' parameters, made from their signatures and docstrings."""

from snakewebb.plan.contracts import package_contracts


def parameter_page():
    """Markdown page with a table of the parameters of every step."""
    lines = [
        "# Parameters",
        "",
        "Made by `snakewebb parameters` from the signatures of the steps. Set them in `config.yaml`:",
        "",
        "```yaml",
        "steps:",
        "  jump: {rejection_threshold: 5.0}",
        "```",
        "",
        "Every step also takes `skip: true`, `save_results: true` and `override_<reference type>: my_file.fits`.",
    ]
    for contract in package_contracts().values():
        references = ", ".join(f"`{reftype}`" for reftype in contract.references) or "none"
        if contract.optional_references:
            references += "; if there are any: " + ", ".join(f"`{reftype}`" for reftype in contract.optional_references)
        for exp_type, reftypes in contract.references_by_type.items():
            references += f"; for {exp_type}: " + ", ".join(f"`{reftype}`" for reftype in reftypes)
        lines += [
            "",
            f"## {contract.name}",
            "",
            contract.summary,
            "",
            f"Reference files: {references}. Keyword: `{contract.keyword}`."
            + (" Off unless `skip: false` is given." if contract.skip else ""),
        ]
        if contract.parameters:
            lines += ["", "| parameter | values | default | meaning |", "|---|---|---|---|"]
        for parameter in contract.parameters.values():
            default = (
                "null"
                if parameter.default is None
                else str(parameter.default).lower()
                if isinstance(parameter.default, bool)
                else parameter.default
            )
            meaning = parameter.description.replace("|", "\\|")
            lines.append(
                f"| `{parameter.name}` | {parameter.expectation().replace('|', '/')} | `{default}` | {meaning} |"
            )
    return "\n".join(lines) + "\n"
