//! Runs that end at every single change to the disk.

use super::*;

/// More changes than a run makes.
const MANY: usize = 10_000;

/// A whole run on a disk that takes no more than some changes.
fn write_on(disk: &Disk, case: &Case, folder: &Path) -> Result<Memory> {
    let writer = MemoryWriter::create_on(disk.clone(), folder, &case.plan())?;
    case.go_on(writer, None)
}

fn resume_on(disk: &Disk, case: &Case, folder: &Path) -> Result<Memory> {
    match MemoryWriter::resume_on(disk.clone(), folder, &case.plan())? {
        Resumed::GoesOn(writer, checkpoint) => case.go_on(*writer, checkpoint),
        Resumed::Finished(memory) => Ok(*memory),
    }
}

fn full_after(changes: usize) -> Disk {
    Disk::failing_after(changes, io::ErrorKind::StorageFull)
}

/// Whatever is there after a crash is one whole memory.
fn check_either(folder: &Path, old: &Case, new: &Case) {
    let memory = Memory::open(folder).unwrap();
    let case = if memory.file.document == old.document {
        old
    } else {
        new
    };
    case.check(&memory);
}

/// After a crash, `--resume` ends in the new memory; where nothing was begun, a new run does.
fn end(disk: &Disk, new: &Case, folder: &Path) -> Result<Memory> {
    match resume_on(disk, new, folder) {
        Err(MemoryError::NothingToResume { .. }) => write_on(disk, new, folder),
        other => other,
    }
}

/// Runs into a full disk after each number of changes, and calls `then` each time.
fn at_every_change(old: Option<&Case>, new: &Case, mut then: impl FnMut(&Path, MemoryError)) {
    for changes in 0..MANY {
        let (parent, folder) = place();
        if let Some(old) = old {
            old.write(&folder);
        }
        match write_on(&full_after(changes), new, &folder) {
            Ok(memory) => {
                new.check(&memory);
                assert!(changes > 50, "{changes}");
                return;
            }
            Err(error) => then(&folder, error),
        }
        assert_eq!(names(parent.path()), ["notes"], "after {changes} changes");
    }
    panic!("the run never ends");
}

#[test]
fn a_crash_at_any_moment_leaves_the_old_memory_or_the_new() {
    let (old, new) = (Case::new(1), Case::new(2));
    at_every_change(Some(&old), &new, |folder, error| {
        assert!(error.to_string().contains("no space is left"), "{error}");
        check_either(folder, &old, &new);
        new.check(&end(&Disk::default(), &new, folder).unwrap());
        new.check(&Memory::open(folder).unwrap());
    });
}

#[test]
fn a_crash_of_the_first_run_can_be_gone_on_from() {
    let new = Case::new(2);
    at_every_change(None, &new, |folder, _| {
        if let Ok(memory) = Memory::open(folder) {
            new.check(&memory);
        }
        new.check(&end(&Disk::default(), &new, folder).unwrap());
    });
}

/// A second crash while the first is being recovered from.
#[test]
fn crashes_of_the_recovery_do_no_harm() {
    let (old, new) = (Case::new(1), Case::new(2));
    // The first few end within the recovery, seventeen let some steps be taken.
    for second in [0, 1, 2, 3, 5, 17] {
        at_every_change(Some(&old), &new, |folder, _| {
            let _ = end(&full_after(second), &new, folder);
            check_either(folder, &old, &new);
            new.check(&end(&Disk::default(), &new, folder).unwrap());
        });
    }
}

#[test]
fn a_disk_that_may_not_be_written_says_so() {
    for (kind, says) in [
        (io::ErrorKind::ReadOnlyFilesystem, "read-only"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::QuotaExceeded, "no space"),
    ] {
        let (_parent, folder) = place();
        let message = refusal(write_on(
            &Disk::failing_after(5, kind),
            &Case::new(1),
            &folder,
        ));
        assert!(message.contains(says), "{message}");
    }
}
