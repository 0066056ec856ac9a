//! The pages: words and formulas at one side, a picture at the other.

mod steps;

use eframe::egui::Ui;
use inscribe::words;
use inscribe::write::setting::Setting;

use super::formula::{
    Formula, Tint, absolute, fraction, high, low, op, paren, row, sum, tinted, up, var,
};
use super::lesson::Lesson;
use super::pictures;
use crate::theme::{space, text};
use steps::{changed, softmax, softmax_picture, step};

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
    up(words::number(value))
}

fn int(value: usize) -> Formula {
    up(words::count(value))
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
        &format!("In this run the memory is {}.", method.memory_words()),
    );
    if method.uses(Setting::Rank) {
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
        let (alpha, rank) = (words::number(lora.alpha.into()), lora.rank);
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
        "The model reads the document twice. In the full pass each token is predicted from everything before it. In the local pass it is predicted from its neighbourhood alone: the m tokens before it, at least n and fewer than 2n, as the document is cut into blocks of n.",
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
            given(x(row([var("t"), up("−"), var("m")]))),
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
            "Token {} of this document, with n = {} and m = {}",
            words::count(at + 1),
            lesson.example.window,
            lesson.example.local_context(&token)
        ),
    );
    if let Some(words) = lesson.words {
        words.show(ui, at, WORDS);
    }
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
    let apart = token.full - token.local;
    if apart.abs() < 0.005 {
        ui.label(text::caption(
            "Far context changes nothing in this document.",
        ));
        return;
    }
    let better = apart > 0.0;
    let ratio = apart.abs().exp();
    let ratio = if ratio < 100.0 {
        words::number(ratio)
    } else {
        words::count(ratio as usize)
    };
    ui.label(text::caption(if better {
        format!("Far context makes this token {ratio} times more likely.")
    } else {
        format!("Far context makes this token {ratio} times less likely.")
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
