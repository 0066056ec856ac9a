//! Folders of runs that were stopped.

use std::fs;

use inscribe::WriteSettings;
use inscribe::memory::MemoryWriter;
use inscribe::memory::store::{Resumed, Unfinished};
use inscribe::write::event::Event;
use inscribe::write::record::{RunRecord, read_run};

use crate::memories::{Change, Files, Plan, begin, files_of, lines_changed, look_at, write_all};
use crate::mutate;
use crate::{Kind, Outcome};

pub fn kinds() -> Vec<Kind> {
    let plan = Plan::new();
    let files = {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("mill.memory");
        drop(begin(&place, &plan));
        files_of(&folder.path().join("mill.memory.writing"))
    };
    vec![Kind {
        name: "run folder",
        share: 4,
        run: Box::new(move |random| {
            let folder = tempfile::tempdir().expect("a folder");
            let place = folder.path().join("mill.memory");
            let mut changed: Files = files.clone();
            let json: Change = |random, bytes| *bytes = mutate::json_text(random, bytes, &[]);
            let lines: Change = |random, bytes| *bytes = lines_changed(random, bytes);
            let front: Change = |random, bytes| mutate::bytes(random, bytes, 900, &["INSCCKP1"]);
            let any: Change = |random, bytes| mutate::bytes(random, bytes, usize::MAX, &[]);
            let all = [
                ("run.json", json),
                ("checkpoint.bin", front),
                ("events.jsonl", lines),
                ("tokens.bin", any),
                ("segments/0000/adapter_model.safetensors", any),
            ];
            let (file, change) = all[random.below(all.len())];
            change(random, changed.get_mut(file).expect(file));
            write_all(&folder.path().join("mill.memory.writing"), &changed);
            let mut opened = || -> Result<(), Box<dyn std::error::Error>> {
                let _ = Unfinished::list(folder.path());
                if let Some(run) = Unfinished::open(&place)? {
                    run.document()?;
                    look_at(&RunRecord::from_events(&run.events::<Event>()?));
                }
                let _ = read_run(&folder.path().join("mill.memory.writing"));
                match random.below(3) {
                    0 => {
                        if let Resumed::GoesOn(writer, _) =
                            MemoryWriter::resume(&place, &plan.run())?
                        {
                            writer.events::<Event>()?;
                            writer.finish()?;
                        }
                    }
                    1 => {
                        MemoryWriter::replace::<WriteSettings>(&place, &plan.run())?;
                    }
                    _ => {
                        if let Some(run) = Unfinished::open(&place)? {
                            run.discard()?;
                            assert!(!folder.path().join("mill.memory.writing").exists());
                        }
                    }
                }
                Ok(())
            };
            let outcome = Outcome::of(opened());
            // Nothing but what is ours is left in the folder about it.
            let left = fs::read_dir(folder.path()).expect("a folder").flatten();
            let foreign = left.filter(|entry| {
                !entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with("mill.memory")
            });
            assert_eq!(foreign.count(), 0);
            outcome
        }),
    }]
}
