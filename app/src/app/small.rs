//! The small models of the Learn screen: one that is written to, one that is trained.

use std::path::{Path, PathBuf};

use crate::app::InscribeApp;
use crate::engine::{BenchRequest, TrainBegin, TrainRequest, Work};
use crate::state::Task;
use crate::state::bench::MOST_STEPS;
use crate::state::train::TrainRun;
use crate::vocabulary::Lesson;

impl InscribeApp {
    /// Writes the pairs as they stand; what was asked for before is of no use any more.
    pub(super) fn bench(&mut self) {
        self.cancel(|job| job.task == Task::Bench);
        let threads = self.state.prefs.threads;
        let asked = self.state.bench.ask();
        let request = BenchRequest {
            model: asked.model,
            number: asked.number,
            pairs: asked.pairs,
            memory_rows: asked.memory_rows,
            steps: MOST_STEPS,
            threads,
        };
        self.start(Task::Bench, Work::Bench(request));
    }

    pub(super) fn try_on_bench(&mut self, folder: PathBuf) {
        let run = self.state.train.run.as_ref();
        let settings = run.and_then(|run| run.settings.as_ref());
        let rows = settings.map_or(1, |settings| settings.net.memory);
        self.state.bench.take_model(Some((folder, rows)));
        self.state.lesson = Lesson::Bench;
    }

    pub(super) fn train(&mut self) {
        let form = &self.state.train.form;
        let folder = match form.folder.trim() {
            "" => self.new_model_folder(form.pairs),
            folder => PathBuf::from(folder),
        };
        let settings = Box::new(form.settings());
        self.begin_training(folder, TrainBegin::New(settings));
    }

    pub(crate) fn go_on_training(&mut self, folder: PathBuf) {
        self.begin_training(folder, TrainBegin::GoOn);
    }

    fn begin_training(&mut self, folder: PathBuf, begin: TrainBegin) {
        if self.state.is_busy_with(Task::Train) {
            return;
        }
        let (prefs, train) = (&self.state.prefs, &mut self.state.train);
        train.set_pause(false);
        let minutes = train.form.minutes;
        let request = TrainRequest {
            folder: folder.clone(),
            begin,
            minutes: Some(minutes),
            device: prefs.device_choice(),
            threads: prefs.threads,
            pause: train.pause.clone(),
        };
        train.run = Some(TrainRun {
            folder,
            minutes,
            ..TrainRun::default()
        });
        self.start(Task::Train, Work::Train(request));
    }

    /// A folder that is not there yet, beside those of the memories.
    fn new_model_folder(&self, pairs: usize) -> PathBuf {
        let memories = self.memories();
        let parent = memories.parent().unwrap_or(Path::new(".")).join("models");
        let first = parent.join(format!("pairs-{pairs}"));
        let numbered = (2..10_000).map(|n| parent.join(format!("pairs-{pairs} {n}")));
        let mut all = std::iter::once(first.clone()).chain(numbered);
        all.find(|folder| !folder.exists()).unwrap_or(first)
    }
}
