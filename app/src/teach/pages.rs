//! The pages: words and formulas at one side, a picture at the other.

use eframe::egui::{Slider, Ui};
use inscribe::write::allocate::{Allocation, Rule, allocate};
use inscribe::write::event::ChunkSteps;
use inscribe::write::figure::format;
use inscribe::write::run::RunRecord;
use inscribe::write::settings::{Allocate, Method, OptimizerName, UtilityScale, WriteSettings};

use super::example::Example;
use super::formula::{
    Formula, Tint, absolute, fraction, high, low, op, paren, row, sum, tinted, up, var,
};
use super::pictures;
use crate::run::Figures;
use crate::theme::{space, text};

/// What a page is written about.
pub struct Lesson<'a> {
    pub record: &'a RunRecord,
    pub figures: &'a Figures,
    pub example: &'a Example,
    pub tau: &'a mut f64,
    pub own_tau: f64,
}

pub struct Page {
    pub title: &'static str,
    pub words: fn(&mut Ui, &mut Lesson<'_>),
    pub picture: fn(&mut Ui, &mut Lesson<'_>),
}

pub const PAGES: [Page; 7] = [
    Page {
        title: "A few steps for one document",
        words: beginning,
        picture: pictures::document,
    },
    Page {
        title: "Two passes",
        words: passes,
        picture: pictures::windows,
    },
    Page {
        title: "Utility",
        words: utility,
        picture: pictures::differences,
    },
    Page {
        title: "Coverage first",
        words: coverage,
        picture: pictures::coverage,
    },
    Page {
        title: "The softmax shares out the rest",
        words: softmax,
        picture: softmax_picture,
    },
    Page {
        title: "One gradient step",
        words: step,
        picture: pictures::course,
    },
    Page {
        title: "What changed",
        words: changed,
        picture: pictures::changes,
    },
];

const SIZE: f32 = 22.0;
/// Size of the words: read from the back of a class.
const WORDS: f32 = 16.0;

impl Lesson<'_> {
    pub fn settings(&self) -> WriteSettings {
        self.record.settings.clone().unwrap_or_default()
    }

    /// Steps of the example's part of the document.
    pub fn budget(&self) -> usize {
        let own = self
            .figures
            .cells
            .iter()
            .filter(|c| c.segment == self.example.cell.segment);
        let planned: u32 = own.map(|c| c.record.planned.total()).sum();
        match planned {
            0 => self.settings().budget,
            planned => planned as usize,
        }
    }

    pub fn chunks(&self) -> usize {
        self.example.utilities.len()
    }

    pub fn k_min(&self) -> usize {
        let settings = self.settings();
        if settings.coverage { settings.k_min } else { 0 }
    }

    /// Steps left once every chunk has its coverage.
    pub fn rest(&self) -> usize {
        self.budget().saturating_sub(self.chunks() * self.k_min())
    }

    /// The allocation at the temperature that the page shows.
    pub fn allocation(&self) -> Vec<ChunkSteps> {
        let settings = self.settings();
        let allocation = Allocation {
            budget: self.budget(),
            k_min: settings.k_min,
            coverage: settings.coverage,
            tau: *self.tau,
            scale: settings.scale,
            rule: Rule::Utility,
        };
        allocate(&self.example.utilities, &allocation).unwrap_or_default()
    }

    /// The name of the example among its part's chunks.
    fn c(&self) -> Formula {
        up((self.example.cell.chunk + 1).to_string())
    }
}

fn prose(ui: &mut Ui, words: &str) {
    let words = eframe::egui::RichText::new(words)
        .size(WORDS)
        .line_height(Some(1.5 * WORDS));
    ui.add(eframe::egui::Label::new(words).wrap());
    ui.add_space(space::S);
}

/// A formula, and under it the same with the document's numbers.
fn shown(ui: &mut Ui, formula: Formula) {
    ui.add_space(space::XS);
    formula.show(ui, SIZE);
    ui.add_space(space::XS);
}

fn here(ui: &mut Ui, words: &str) {
    ui.add_space(space::S);
    ui.label(text::strong_small(words));
}

fn n(value: f64) -> Formula {
    up(format::number(value))
}

fn int(value: usize) -> Formula {
    up(format::count(value))
}

fn eq() -> Formula {
    op("=")
}

fn beginning(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    let method = lesson.settings().method;
    prose(
        ui,
        "A language model reads a document and forgets it. Inscribe lets it learn the document: it takes a few gradient steps on a small set of extra weights, for this document alone, and keeps them as a memory. The model itself does not change.",
    );
    prose(
        ui,
        match method {
            Method::Gradmem => {
                "In this run the memory is a row of memory tokens that stand before every question."
            }
            _ => {
                "In this run the memory is a pair of thin matrices A and B beside the model's own weights W."
            }
        },
    );
    if method != Method::Gradmem {
        let lora = lesson.settings().lora;
        let scale = fraction(var("α"), var("r"));
        let wide = [
            high(var("W"), up("′")),
            eq(),
            var("W"),
            op("+"),
            scale,
            up(" "),
            var("B"),
            up(" "),
            var("A"),
        ];
        shown(ui, row(wide));
        let (alpha, rank) = (format::number(lora.alpha.into()), lora.rank);
        ui.label(text::caption(format!("α = {alpha}, rank r = {rank}")));
    }
    prose(
        ui,
        "Steps cost time, so there is a budget K of them. The document is cut into M chunks, and the question is which chunks the steps should go to.",
    );
    here(ui, "In this document");
    let (tokens, chunks) = (int(lesson.figures.tokens), int(lesson.chunks()));
    let space = || Formula::Space(1.2);
    shown(
        ui,
        row([
            var("T"),
            eq(),
            tokens,
            up(" tokens"),
            space(),
            var("M"),
            eq(),
            chunks,
            space(),
            var("K"),
            eq(),
            int(lesson.budget()),
        ]),
    );
}

fn log_p(name: &str) -> Formula {
    row([up("log "), low(var("P"), up(name))])
}

fn passes(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    prose(
        ui,
        "The model reads the document twice. In the full pass each token is predicted from everything before it. In the local pass it is predicted from its neighbourhood alone.",
    );
    let x = |of: Formula| low(var("x"), of);
    let given = |from: Formula| {
        row([paren(row([
            x(var("t")),
            op("|"),
            from,
            up(" … "),
            x(row([var("t"), up("−1")])),
        ]))])
    };
    let xt = || paren(low(var("x"), var("t")));
    shown(
        ui,
        row([
            log_p("full"),
            xt(),
            eq(),
            up("log "),
            var("P"),
            given(x(up("1"))),
        ]),
    );
    shown(
        ui,
        row([
            log_p("local"),
            xt(),
            eq(),
            up("log "),
            var("P"),
            given(x(row([var("t"), up("−"), var("n")]))),
        ]),
    );
    prose(
        ui,
        "Where both predict a token equally well, its neighbourhood was enough. Where they differ, the document's far context matters.",
    );
    let Some(token) = lesson.example.token else {
        return;
    };
    let at = lesson.example.cell.from + token.at - lesson.example.cell.record.tokens.start;
    here(
        ui,
        &format!(
            "Token {} of this document, with n = {}",
            format::count(at + 1),
            lesson.example.window
        ),
    );
    shown(
        ui,
        row([
            log_p("full"),
            eq(),
            n(token.full),
            Formula::Space(1.2),
            log_p("local"),
            eq(),
            n(token.local),
        ]),
    );
    let better = token.full > token.local;
    let ratio = (token.full - token.local).abs().exp();
    let ratio = match ratio < 100.0 {
        true => format::number(ratio),
        false => format::count(ratio as usize),
    };
    ui.label(text::caption(match better {
        true => format!("Far context makes this token {ratio} times more likely."),
        false => format!("Far context makes this token {ratio} times less likely."),
    }));
}

fn utility(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    prose(
        ui,
        "The utility of a chunk is how much the two passes differ, on average over its tokens. The difference counts whichever way it goes: a chunk that far context misleads has as much to learn as one that it helps.",
    );
    let c = || low(var("C"), var("c"));
    let size = || absolute(c());
    let difference = row([
        log_p("full"),
        paren(low(var("x"), var("t"))),
        op("−"),
        log_p("local"),
        paren(low(var("x"), var("t"))),
    ]);
    let each = row([var("t"), up(" ∈ "), c()]);
    shown(
        ui,
        row([
            low(var("U"), var("c")),
            eq(),
            fraction(up("1"), size()),
            sum(each),
            absolute(difference),
        ]),
    );
    let (example, differences) = (lesson.example, &lesson.example.differences);
    let total: f64 = differences.iter().map(|d| f64::from(d.abs())).sum();
    let measured = example.cell.record.utility.unwrap_or(0.0);
    here(ui, &format!("{} of this document", example.cell.name));
    let quotient = fraction(n(total), int(differences.len()));
    shown(
        ui,
        row([
            low(var("U"), lesson.c()),
            eq(),
            quotient,
            eq(),
            tinted(Tint::Utility, n(measured)),
            up(" nats a token"),
        ]),
    );
    let title = example.cell.record.title.as_deref().unwrap_or("no heading");
    ui.label(text::caption(format!("“{title}”")));
}

fn coverage(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    prose(
        ui,
        "Before utility decides anything, every chunk gets the same few steps. So no part of the document is left out, however little it seems to need.",
    );
    let rest = row([
        var("K"),
        op("−"),
        var("M"),
        up(" "),
        low(var("k"), up("min")),
    ]);
    shown(ui, row([up("steps left"), eq(), rest]));
    here(ui, "In this document");
    let (k, m, k_min) = (lesson.budget(), lesson.chunks(), lesson.k_min());
    let product = row([
        int(k),
        op("−"),
        int(m),
        op("×"),
        tinted(Tint::Coverage, int(k_min)),
    ]);
    shown(
        ui,
        row([product, eq(), tinted(Tint::Utility, int(lesson.rest()))]),
    );
    if k_min == 0 {
        ui.label(text::caption(
            "This run gave no chunk a step for its own sake.",
        ));
    } else if lesson.rest() == 0 {
        ui.label(text::caption(
            "The budget is used up by coverage: utility decides only which chunks come first.",
        ));
    }
}

fn softmax(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    prose(
        ui,
        "The steps that are left are shared out by a softmax over the utilities. The temperature τ says how strongly: small gives all to the highest, large gives all the same.",
    );
    let u = |of: &str| match lesson.settings().scale {
        UtilityScale::Raw => low(var("U"), var(of)),
        UtilityScale::Zscore => low(var("z"), var(of)),
    };
    let e = |of: &str| high(up("e"), row([u(of), up("/"), var("τ")]));
    let share = fraction(e("c"), row([sum(var("j")), e("j")]));
    let k_min = || tinted(Tint::Coverage, low(var("k"), up("min")));
    let rest = || {
        tinted(
            Tint::Utility,
            paren(row([
                var("K"),
                op("−"),
                var("M"),
                Formula::Space(0.15),
                low(var("k"), up("min")),
            ])),
        )
    };
    shown(
        ui,
        row([
            low(var("k"), var("c")),
            eq(),
            k_min(),
            op("+"),
            up("round"),
            paren(row([rest(), up(" "), share])),
        ]),
    );
    if lesson.settings().scale == UtilityScale::Zscore {
        ui.label(text::caption(
            "z: utilities brought to mean 0 and deviation 1.",
        ));
    }
    let chunk = lesson.example.cell.chunk;
    let steps = lesson.allocation().get(chunk).copied().unwrap_or_default();
    here(
        ui,
        &format!(
            "{} of this document, τ = {}",
            lesson.example.cell.name,
            format::number(*lesson.tau)
        ),
    );
    let part = part(lesson);
    let product = paren(row([
        tinted(Tint::Utility, int(lesson.rest())),
        op("×"),
        n(part),
    ]));
    let total = up(steps.total().to_string());
    shown(
        ui,
        row([
            low(var("k"), lesson.c()),
            eq(),
            tinted(Tint::Coverage, int(lesson.k_min())),
            op("+"),
            up("round"),
            product,
            eq(),
            total,
            up(" steps"),
        ]),
    );
    ui.label(text::caption(
        "Rounding is by largest remainders, so that the steps add up to K exactly.",
    ));
    if lesson.settings().allocate != Allocate::Utility {
        ui.label(text::caption("This run shared its steps out by another rule; the bars show what utility would have done."));
    }
}

/// The example's share by the softmax.
fn part(lesson: &Lesson<'_>) -> f64 {
    let utilities = &lesson.example.utilities;
    let mean = utilities.iter().sum::<f64>() / utilities.len().max(1) as f64;
    let variance = utilities.iter().map(|u| (u - mean).powi(2)).sum::<f64>();
    let deviation = (variance / utilities.len().max(1) as f64).sqrt();
    let value = |u: f64| match lesson.settings().scale {
        UtilityScale::Zscore if deviation > 0.0 => (u - mean) / deviation,
        UtilityScale::Zscore => 0.0,
        UtilityScale::Raw => u,
    };
    let most = utilities
        .iter()
        .map(|&u| value(u))
        .fold(f64::NEG_INFINITY, f64::max);
    let weight = |u: f64| match value(u) == most {
        true => 1.0,
        false => ((value(u) - most) / *lesson.tau).exp(),
    };
    let sum: f64 = utilities.iter().map(|&u| weight(u)).sum();
    let own = utilities.get(lesson.example.cell.chunk).copied();
    own.map_or(0.0, |u| weight(u) / sum.max(f64::MIN_POSITIVE))
}

fn softmax_picture(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    pictures::allocation(ui, lesson);
    ui.add_space(space::S);
    ui.horizontal(|ui| {
        let slider = Slider::new(lesson.tau, 0.02..=20.0)
            .logarithmic(true)
            .text("temperature τ");
        ui.add(slider.custom_formatter(|value, _| format::number(value)));
        let own = format!("This run's, {}", format::number(lesson.own_tau));
        if *lesson.tau != lesson.own_tau && ui.button(own).clicked() {
            *lesson.tau = lesson.own_tau;
        }
    });
}

fn step(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    let settings = lesson.settings();
    let (batch, span) = (settings.batch, settings.span);
    prose(
        ui,
        &format!(
            "One step looks at one chunk. It draws {batch} spans of {span} tokens from it, measures how badly they are predicted, and moves the memory a little in the direction that predicts them better."
        ),
    );
    let loss = row([
        sum(row([var("t"), up("∈"), var("S")])),
        up("log "),
        var("P"),
        paren(row([
            low(var("x"), var("t")),
            op("|"),
            low(var("x"), up("<t")),
        ])),
    ]);
    shown(
        ui,
        row([
            var("L"),
            eq(),
            up("−"),
            fraction(up("1"), absolute(var("S"))),
            loss,
        ]),
    );
    let norm = || row([up("|"), absolute(var("g")), up("|")]);
    let clip = row([
        var("g"),
        up(" min"),
        paren(row([up("1, "), fraction(var("c"), norm())])),
    ]);
    if settings.clip > 0.0 {
        shown(
            ui,
            row([
                var("g"),
                eq(),
                low(up("∇"), var("θ")),
                var("L"),
                Formula::Space(1.0),
                var("g"),
                op("←"),
                clip,
            ]),
        );
    } else {
        shown(ui, row([var("g"), eq(), low(up("∇"), var("θ")), var("L")]));
    }
    let theta = || var("θ");
    match settings.optimizer {
        OptimizerName::Adamw => {
            let scaled = fraction(var("m"), row([high(var("v"), up("½")), op("+"), var("ε")]));
            let inner = paren(row([scaled, op("+"), var("λ"), theta()]));
            shown(
                ui,
                row([theta(), op("←"), theta(), op("−"), var("η"), up(" "), inner]),
            );
            ui.label(text::caption(
                "AdamW: m and v are running means of g and g², without the pull of their start.",
            ));
        }
        OptimizerName::Sgd => shown(
            ui,
            row([
                theta(),
                op("←"),
                theta(),
                op("−"),
                var("η"),
                up(" "),
                var("g"),
            ]),
        ),
    }
    let Some(step) = &lesson.example.step else {
        here(ui, "No step of this chunk has been taken yet.");
        return;
    };
    here(
        ui,
        &format!(
            "Step {} of this run, in {}",
            step.step,
            lesson.example.cell.name.to_lowercase()
        ),
    );
    let gap = || Formula::Space(1.2);
    let eta = up(format!("{}", settings.lr));
    shown(
        ui,
        row([
            var("L"),
            eq(),
            n(step.loss),
            gap(),
            norm(),
            eq(),
            n(step.grad_norm),
            gap(),
            absolute(var("S")),
            eq(),
            int(step.tokens),
            gap(),
            var("η"),
            eq(),
            eta,
        ]),
    );
    let clipped = settings.clip > 0.0 && step.grad_norm > f64::from(settings.clip);
    let words = match clipped {
        true => "Its gradient was longer than c and was scaled down to it.",
        false => "Its gradient was short enough to be taken whole.",
    };
    ui.label(text::caption(words));
}

fn changed(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    prose(
        ui,
        "After the last step every chunk is read again with the memory. Its loss, compared with the loss before, shows what was learned.",
    );
    let change = |before: f64, after: f64| {
        row([
            n(before),
            op("→"),
            tinted(Tint::Utility, n(after)),
            Formula::Space(1.0),
            paren(up(format::signed(after - before))),
        ])
    };
    let record = lesson.record;
    let chunk = &lesson.example.cell.record;
    match (record.loss_before(), record.loss_after()) {
        (Some(before), Some(after)) => {
            here(ui, "Mean loss of the document, nats a token");
            shown(ui, change(before, after));
        }
        _ => here(ui, "This run has not been measured after its last step."),
    }
    if let (Some(before), Some(after)) = (chunk.loss_before, chunk.loss_after) {
        here(
            ui,
            &format!(
                "{}, {} steps",
                lesson.example.cell.name,
                chunk.taken.total()
            ),
        );
        shown(ui, change(before, after));
    }
    match (record.held_out_before(), record.held_out_after()) {
        (Some(before), Some(after)) => {
            here(ui, "Tokens that no step learned from");
            shown(ui, change(before, after));
            prose(
                ui,
                "Tokens kept out of every step are the fair test: their loss falls only if what was learned carries over.",
            );
        }
        _ => prose(
            ui,
            "A lower loss on the very tokens that were learned from says little by itself. Hold some tokens out, or ask questions, to see whether it carries over.",
        ),
    }
}
