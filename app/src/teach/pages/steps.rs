//! From utilities to steps, and what the steps changed.

use eframe::egui::{Slider, Ui};
use inscribe::words;
use inscribe::write::settings::{Allocate, OptimizerName, UtilityScale};

use super::super::formula::{
    Formula, Tint, absolute, fraction, high, low, op, paren, row, sum, tinted, up, var,
};
use super::super::pictures;
use super::{Lesson, eq, here, int, n, prose, shown};
use crate::theme::{space, text};

pub fn softmax(ui: &mut Ui, lesson: &mut Lesson<'_>) {
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
            words::number(*lesson.tau)
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
    let weight = |u: f64| {
        if value(u) == most {
            1.0
        } else {
            ((value(u) - most) / *lesson.tau).exp()
        }
    };
    let sum: f64 = utilities.iter().map(|&u| weight(u)).sum();
    let own = utilities.get(lesson.example.cell.chunk).copied();
    own.map_or(0.0, |u| weight(u) / sum.max(f64::MIN_POSITIVE))
}

pub fn softmax_picture(ui: &mut Ui, lesson: &mut Lesson<'_>) {
    pictures::allocation(ui, lesson);
    ui.add_space(space::S);
    ui.horizontal(|ui| {
        let slider = Slider::new(lesson.tau, 0.02..=20.0)
            .logarithmic(true)
            .text("temperature τ");
        ui.add(slider.custom_formatter(|value, _| words::number(value)));
        let own = format!("This run's, {}", words::number(lesson.own_tau));
        if *lesson.tau != lesson.own_tau && ui.button(own).clicked() {
            *lesson.tau = lesson.own_tau;
        }
    });
}

pub fn step(ui: &mut Ui, lesson: &mut Lesson<'_>) {
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
    let words = if clipped {
        "Its gradient was longer than c and was scaled down to it."
    } else {
        "Its gradient was short enough to be taken whole."
    };
    ui.label(text::caption(words));
}

pub fn changed(ui: &mut Ui, lesson: &mut Lesson<'_>) {
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
            paren(up(words::signed(after - before))),
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
                "{}, {}",
                lesson.example.cell.name,
                words::counted(chunk.taken.total() as usize, "step")
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
