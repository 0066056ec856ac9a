//! What several verbs need: a device, a model on it, a text.

use std::io::{self, IsTerminal, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;

use inscribe::Inscriber;
use inscribe::advice::Advice;
use inscribe::engine::select::{self, DeviceChoice, SelectOptions};
use inscribe::engine::{Device, Profile};
use inscribe::inscriber::OpenEvent;
use inscribe::kernels::self_test;
use inscribe::memory::store::StoredModel;
use inscribe::memory::{Memory, fingerprint};
use inscribe::model::elsewhere::{Found, Limits, Looks, Places};
use inscribe::model::hub::{KNOWN, ModelCache};
use inscribe::model::session::SessionOptions;
use inscribe::model::weights::WeightFile;
use inscribe::words;
use inscribe::write::document::{self, Document, ReadOptions};
use inscribe::write::event::Phase;
use inscribe::write::prompt::Prompt;
use inscribe::write::reader::question_room;
use inscribe::write::writer::Tokens;

use super::progress::size;
use super::{Context, errors, reading_input};

/// The model taken where none is named.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

/// The model to use.
#[derive(clap::Args, Clone, Debug)]
pub struct ModelArg {
    /// A model: a known name, a .gguf file, a model folder or a hub id
    #[arg(
        id = "model",
        long = "model",
        short = 'm',
        value_name = "MODEL",
        default_value = DEFAULT_MODEL,
        env = "INSCRIBE_MODEL",
        hide_env_values = true
    )]
    pub name: String,
}

/// A model on a device.
pub struct Loaded {
    pub inscriber: Inscriber,
    pub load_secs: f64,
}

impl Deref for Loaded {
    type Target = inscribe::model::loaded::Loaded;

    fn deref(&self) -> &Self::Target {
        self.inscriber.loaded()
    }
}

/// The options of work that Ctrl-C ends.
pub fn session_options(app: &Context, profile: Option<&Arc<Profile>>) -> SessionOptions {
    SessionOptions {
        profile: profile.cloned(),
        ..SessionOptions::stopped_by(&app.cancel)
    }
}

/// Opens the device, finds (or fetches) a model and puts the weights on it.
pub fn load(spec: &str, app: &Context) -> Result<Loaded> {
    load_telling(spec, app, true)
}

/// As [`load`], for short work, for which the device is not worth a line.
pub fn load_silently(spec: &str, app: &Context) -> Result<Loaded> {
    load_telling(spec, app, false)
}

fn load_telling(spec: &str, app: &Context, tells_device: bool) -> Result<Loaded> {
    let opening = Inscriber::opening(spec)
        .device(device_options(app)?)
        .stopped_by(&app.cancel);
    let mut progress = app.progress();
    let mut bar: Option<ProgressBar> = None;
    let mut started = Instant::now();
    let opened = opening.run(&mut |event| match event {
        OpenEvent::Device { name, why } if tells_device => tell_device(name, why, app),
        OpenEvent::Device { .. } => {}
        OpenEvent::Fetch(event) => progress.pull_event(event),
        OpenEvent::Found(_) => {
            progress.finish();
            started = Instant::now();
        }
        OpenEvent::Loading { done, total } => bar
            .get_or_insert_with(|| app.counter("loading", total, "bytes"))
            .set_position(done),
    });
    progress.finish();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(Loaded {
        inscriber: opened?,
        load_secs: started.elapsed().as_secs_f64(),
    })
}

/// Says which device was taken, where that was not for the person to say.
fn tell_device(name: &str, why: &str, app: &Context) {
    match device_choice(app) {
        Ok(DeviceChoice::Cpu) => {}
        Ok(DeviceChoice::Auto) => app.note(&format!("device: {name} ({why})")),
        _ => app.note(&format!("device: {name}")),
    }
}

fn device_options(app: &Context) -> Result<SelectOptions> {
    Ok(SelectOptions {
        choice: device_choice(app)?,
        threads: app.threads(),
        precision: app.precision(),
        self_test: Some(self_test::fast_products),
        cache_dir: ModelCache::open()
            .ok()
            .map(|cache| cache.root().join("pipelines")),
    })
}

/// Opens the device that was asked for and says which it is.
pub fn open_device(app: &Context) -> Result<Device> {
    let opened = select::open(&device_options(app)?)?;
    tell_device(opened.device.name(), &opened.why, app);
    Ok(opened.device)
}

pub fn device_choice(app: &Context) -> Result<DeviceChoice> {
    app.global.device.parse().map_err(anyhow::Error::msg)
}

/// A text from a file, or from standard input where the path is `-`, exactly as it is.
pub fn read_text(path: &Path, encoding: Option<&str>, app: &Context) -> Result<String> {
    let options = ReadOptions {
        encoding: encoding.map(str::to_owned),
        pages: None,
    };
    let name = path.display().to_string();
    let (text, note) = document::decode_text(&name, &read_bytes(path)?, &options)?;
    if let Some(note) = note {
        app.note(&format!("{name}: {note}"));
        note_guess(app);
    }
    Ok(text)
}

/// What to do where an encoding was guessed wrong.
fn note_guess(app: &Context) {
    let means = errors::means(Advice::NameEncoding);
    app.note(&format!("hint: if that is wrong, {means}"));
}

/// As [`read_text`], of what people write for this program: UTF-8.
pub fn read_utf8(path: &Path) -> Result<String> {
    match String::from_utf8(reading_input(|| read_bytes(path))?) {
        Ok(text) => Ok(text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text)),
        Err(error) => bail!(
            "{}: not UTF-8 text (the first invalid byte is at {}); convert it first, for \
             example with iconv -f latin1 -t utf-8",
            path.display(),
            error.utf8_error().valid_up_to()
        ),
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        reading_input(|| io::stdin().lock().read_to_end(&mut bytes))
            .context("cannot read standard input")?;
        return Ok(bytes);
    }
    let name = path.display();
    if path.is_dir() {
        bail!("{name} is a folder; name a file in it");
    }
    std::fs::read(path)
        .with_context(|| format!("{name}: cannot be read; check the path and its permissions"))
}

/// A document of any format that can be read, with what its reader should know said.
pub fn read_document(path: &Path, options: &ReadOptions, app: &Context) -> Result<Document> {
    let spinner = app.spinner(format!(
        "reading {}",
        words::shown_line(&path.display().to_string())
    ));
    let document = reading_input(|| Document::read(path, options));
    spinner.finish_and_clear();
    let document = document?;
    for note in &document.notes {
        app.note(&format!("{}: {note}", document.name));
    }
    if document.guessed_encoding.is_some() {
        note_guess(app);
    }
    Ok(document)
}

/// What to load for a memory: the model given, or the one that it names where that is here.
pub fn model_of(memory: &Memory, given: Option<&str>) -> Result<String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let wanted = &memory.file.model.info;
    let cached: Vec<(String, PathBuf)> = ModelCache::open()
        .map(|cache| cache.list())
        .unwrap_or_default()
        .into_iter()
        .map(|model| (model.name, model.path))
        .collect();
    let is_it = |path: &Path| {
        let file = WeightFile::open(path).ok()?;
        Some(fingerprint(&file).ok()? == wanted.fingerprint)
    };
    // The name says which to look into first; the files say whether it is the one.
    let find = |mut models: Vec<(String, PathBuf)>| {
        let is_named = |(name, path): &(String, PathBuf)| {
            *name == wanted.name || path.file_name().is_some_and(|n| *n == *wanted.name)
        };
        models.sort_by_key(|model| !is_named(model));
        let found = models
            .into_iter()
            .find(|(_, path)| is_it(path) == Some(true));
        found.map(|(name, _)| name)
    };
    if let Some(name) = find(cached) {
        return Ok(name);
    }
    // Where it was when the memory was written.
    let hint = memory.file.model_path.as_deref();
    // Another program's file may have no ending, and is then found by that program's name.
    let hint = hint.filter(|path| path.is_dir() || path.extension().is_some_and(|e| e == "gguf"));
    if let Some(path) = hint.filter(|path| is_it(path) == Some(true)) {
        return Ok(path.display().to_string());
    }
    if let Some(name) = find(elsewhere_like(&memory.file.model)) {
        return Ok(name);
    }
    if let Some(known) = KNOWN.iter().find(|model| model.is_named_by(&wanted.name)) {
        return Ok(known.name.to_owned());
    }
    bail!(
        "{}: was written for {}, which is not among the models kept here; name its file or folder \
         with --model",
        memory.path().display(),
        memory.file.model
    )
}

/// Other programs' models that have the sizes of this one.
fn elsewhere_like(model: &StoredModel) -> Vec<(String, PathBuf)> {
    let survey = Places::from_env().survey(Limits::default(), &mut Looks::default());
    let alike = |found: &Found| {
        found.fault.is_none()
            && found.config.as_ref().is_some_and(|config| {
                StoredModel::new(&model.info.name, &model.info.fingerprint, config) == *model
            })
    };
    let found = survey.found.into_iter().filter(alike);
    found.map(|found| (found.name, found.path)).collect()
}

/// Bytes of a text that takes seconds to be cut into tokens.
const LONG_TEXT: u64 = 8_000_000;

/// A document's tokens.
pub fn tokens(loaded: &Loaded, document: &Document, app: &Context) -> Result<Tokens> {
    let bytes = document.text.len() as u64;
    if bytes > LONG_TEXT && !io::stderr().is_terminal() {
        // No bar shows it.
        app.note(&format!("cutting {} of text into tokens", size(bytes)));
    }
    let bar = app.counter("cutting into tokens", document.text.len() as u64, "bytes");
    let mut on_done = |done: usize| bar.set_position(done as u64);
    let tokens = loaded.inscriber.tokens(document, &mut on_done);
    bar.finish_and_clear();
    Ok(tokens?)
}

/// A document's tokens with what leads them in, of which `needs` says who reads them in one piece.
pub fn whole_document(loaded: &Loaded, tokens: &Tokens, needs: &str) -> Result<Vec<u32>> {
    let lead = Prompt::new(&loaded.model)?.lead;
    let ids = [&lead[..], &tokens.ids].concat();
    let context = loaded.model.config.context;
    if ids.len() + question_room(context) > context {
        bail!(
            "the document has {}; {needs} it and its questions within the model's context of {}",
            words::counted(tokens.ids.len(), "token"),
            words::count(context)
        );
    }
    Ok(ids)
}

/// What a phase of writing is called.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "reading",
        Phase::Local => "reading locally",
        Phase::Evaluate => "measuring",
        Phase::Steps => "learning",
        Phase::Save => "saving",
    }
}

/// A reader that closed its end early (`| head`) is no error.
pub fn ignore_broken_pipe(error: io::Error) -> Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Ok(())
    } else {
        Err(anyhow::Error::from(error).context("the results cannot be written"))
    }
}

/// Prints a piece of an answer at once.
pub fn print_piece(piece: &str) {
    super::out::piece(piece);
}
