//! Which model is in use: chosen, loaded where it is not there, and let go of.

use std::ops::Range;
use std::sync::Arc;

use inscribe::model::hub::KNOWN;

use crate::app::InscribeApp;
use crate::engine::{LoadRequest, Work};
use crate::state::{Job, ModelState, State, Task};

impl InscribeApp {
    pub(crate) fn pick_model(&mut self, model: String) {
        if self.state.prefs.model != model {
            self.state.prefs.model = model;
            self.let_go_of_another_model();
            self.survey();
        }
    }

    /// The model that a memory names, where it is one of those known or found here.
    pub(crate) fn choose_model_of(&mut self, file_name: &str) {
        let known = KNOWN.iter().find(|known| known.is_named_by(file_name));
        let found = || {
            let models = &self.state.survey.as_ref()?.models;
            let mut here = models.iter().filter(|m| m.here && m.fault.is_none());
            let of = |name: &str| name.rsplit(['/', ':']).next() == Some(file_name);
            here.find(|model| model.name == file_name || of(&model.name))
        };
        if let Some(known) = known {
            self.state.prefs.model = known.name.to_owned();
        } else if let Some(found) = found() {
            self.state.prefs.model = found.name.clone();
        }
    }

    /// Lets go of a model, or of a device, that is not the one in use any more, and of what was
    /// worked out with it. Where something goes on with it, that is left to the next load.
    pub(crate) fn let_go_of_another_model(&mut self) {
        let request = self.request();
        if !self.state.will_have(&request) {
            self.stop_loading_in_vain();
        }
        let state = &mut self.state;
        let ready = state.model.ready();
        if ready.is_some_and(|model| model.request != request) && state.jobs.is_empty() {
            self.engine.send(Work::Unload);
            state.model = ModelState::None;
        }
        state.forget_plan_of_another_model();
        if let Some(open) = &mut state.document
            && open.tokens_of != request.model
        {
            open.tokens = None;
            open.version += 1;
        }
    }

    fn request(&self) -> LoadRequest {
        LoadRequest {
            model: self.state.prefs.model.clone(),
            device: self.state.prefs.device_choice(),
            threads: self.state.prefs.threads,
            cache: self.options.cache.clone(),
        }
    }

    /// Loads the model in use, if it is neither there nor on its way.
    pub(crate) fn load(&mut self) {
        let request = self.request();
        if self.state.will_have(&request) {
            return;
        }
        self.stop_loading_in_vain();
        if self.state.jobs.is_empty() {
            self.state.model = ModelState::Fetching(Default::default());
        }
        self.state.loading = Some(request.clone());
        self.start(Task::Load, Work::Load(request));
    }

    /// Stops loading a model, where nothing waits for it any more.
    fn stop_loading_in_vain(&mut self) {
        let loading = |job: &Job| matches!(job.task, Task::Load | Task::Tokenize);
        let mut jobs = self.state.jobs.values();
        if jobs.all(|job| job.cancelling || loading(job)) {
            self.cancel(loading);
        }
    }

    /// Has the document cut into tokens by the model in use, so that they can be counted and
    /// shaded.
    pub(crate) fn tokenize(&mut self) {
        let Some(open) = &self.state.document else {
            return;
        };
        let is_cut = open.tokens.is_some() && open.tokens_of == self.state.prefs.model;
        let mut jobs = self.state.jobs.values();
        let comes = jobs.any(|job| job.task == Task::Tokenize && !job.cancelling);
        if !is_cut && !comes && self.state.will_have(&self.request()) {
            let work = Work::Tokenize(Arc::clone(&open.document));
            self.start(Task::Tokenize, work);
        }
    }
}

impl State {
    /// Whether what is sent to the engine now will find this model. One that is being loaded takes
    /// the place of the one that is there, also where its loading is stopped.
    fn will_have(&self, request: &LoadRequest) -> bool {
        let mut jobs = self.jobs.values().rev();
        match jobs.find(|job| job.task == Task::Load) {
            Some(load) => !load.cancelling && self.loading.as_ref() == Some(request),
            None => {
                let ready = self.model.ready();
                ready.is_some_and(|model| model.request == *request)
            }
        }
    }

    /// Tokens of a document that was closed, or of a model that is not in use, are of no use.
    pub(crate) fn take_tokens(
        &mut self,
        sha256: &str,
        model: String,
        bytes: Arc<Vec<Range<usize>>>,
    ) {
        let in_use = self.prefs.model == model;
        if let Some(open) = &mut self.document
            && open.document.sha256 == sha256
            && in_use
        {
            open.tokens = Some(bytes);
            open.tokens_of = model;
            open.version += 1;
        }
    }
}
