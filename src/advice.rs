//! What an error calls for that each surface of the program does by means of its own.

/// A way out of an error. The error's own text says what happened in words that hold everywhere;
/// how to take the way out is for the surface to say: a command line names a flag, a window a
/// control, another program its own call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Compute on the CPU, which needs no driver and has the computer's whole memory.
    UseCpu,
    /// Report the failure together with what is known of the devices.
    Report,
    /// Take fewer or shorter spans in a step, or cut shorter chunks: a step then needs less memory.
    SmallerSteps,
    /// Write fewer memory tokens.
    FewerMemoryTokens,
    /// Start again with steps that go less far.
    SmallerRate,
    /// Go on from the last checkpoint with a smaller learning rate, or end there.
    GoOnSlowerOrEnd,
    /// Go on with an unfinished run.
    GoOn,
    /// Go on with an unfinished run, or start it again.
    GoOnOrStartAgain,
    /// Start a run at a place of its own, or in the place of what is there.
    StartNew,
    /// Start the run again and drop what it kept.
    StartAgain,
    /// Have Inscribe fetch the model.
    FetchModel,
    /// Look which models are known by name.
    ListModels,
    /// Fetch the model from the hub and nowhere else.
    FetchFromHub,
    /// Fetch the model from another source than the one that failed.
    FetchElsewhere,
    /// Ask for no source by name.
    FetchAnywhere,
    /// Give the label of the text's encoding, as in
    /// [`ReadOptions`](crate::write::document::ReadOptions).
    NameEncoding,
    /// Give the file as the model.
    GiveAsModel,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Whatever else the library passes on to other programs or says of them.
    const OF_OTHER_PROGRAMS: [&str; 9] = [
        "`llama-gguf-split --merge`",
        "\"--version\"",
        "\"--quiet\"",
        "\"--no-input\"",
        "\"--no-cache-dir\"",
        "\"--disable-pip-version-check\"",
        "\"--no-deps\"",
        "\"--dest\"",
        "\"--only-binary\"",
    ];

    const VERBS: [&str; 15] = [
        "completions",
        "info",
        "demo",
        "generate",
        "surprisal",
        "utility",
        "write",
        "ask",
        "compare",
        "devices",
        "pull",
        "models",
        "report",
        "export",
        "bench",
    ];

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }

    /// Whether the line of code names a flag or a verb of the command line. Outside of texts, code
    /// has neither.
    fn speaks_command_line(line: &str) -> bool {
        let code = line.split("// ").next().unwrap_or_default();
        let mut code = code.to_owned();
        for other in OF_OTHER_PROGRAMS {
            code = code.replace(other, "");
        }
        let follows = |mark: &str, meant: &dyn Fn(&str) -> bool| {
            code.match_indices(mark)
                .any(|(at, _)| meant(&code[at + mark.len()..]))
        };
        let word = |rest: &str| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
            rest[..end.unwrap_or(rest.len())].to_owned()
        };
        follows("--", &|rest| {
            rest.starts_with(|c: char| c.is_ascii_lowercase())
        }) || follows("inscribe ", &|rest| VERBS.contains(&word(rest).as_str()))
    }

    #[test]
    fn the_library_does_not_speak_command_line() {
        for line in [
            "    \"name it with --model\",",
            "see `inscribe models`\"",
            "        \"--chunk\",",
        ] {
            assert!(speaks_command_line(line), "{line}");
        }
        for line in [
            "    \"--quiet\",",
            "inscribe model 1",
            "use inscribe::write;",
        ] {
            assert!(!speaks_command_line(line), "{line}");
        }
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&src, &mut files);
        // Of the program and not of the library; and this list of what is looked for.
        let others = [src.join("cli"), src.join("main.rs"), src.join("advice.rs")];
        files.retain(|path| !others.iter().any(|other| path.starts_with(other)));
        assert!(files.len() > 100, "{}", files.len());
        let mut found = Vec::new();
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                if !line.trim_start().starts_with("//") && speaks_command_line(line) {
                    found.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
