//! Which launches the CPU executor runs as one.

use std::sync::Arc;

use super::cpu::buffer_of;
use super::device::Program;
use super::recording::{Access, Dispatch, Joins, Op};
use super::tensor::Tensor;

/// How the time of launches that ran as one is divided among them: by the bytes that move and the
/// operations, of which a core makes some 16 while it moves a byte.
pub fn weight_in_time(dispatch: &Dispatch) -> f64 {
    (dispatch.bytes as f64 + dispatch.flops as f64 / 16.0).max(1.0)
}

/// Launches that follow `first` and can run together with it.
pub fn joining<'a>(program: &Program, first: &'a Dispatch, ops: &'a [Op]) -> Vec<&'a Dispatch> {
    match first.kernel.cpu_joins {
        Joins::Nothing => Vec::new(),
        Joins::Alike => alike(program, first, ops),
        Joins::Then(_) => match ops.first() {
            Some(Op::Dispatch(next)) if next.follows(first) && fits(program, first, next) => {
                vec![next]
            }
            _ => Vec::new(),
        },
    }
}

fn alike<'a>(program: &Program, first: &'a Dispatch, ops: &'a [Op]) -> Vec<&'a Dispatch> {
    const MOST: usize = 3;
    let mut all = Vec::new();
    for op in ops.iter().take(MOST) {
        let Op::Dispatch(dispatch) = op else { break };
        let mut before = std::iter::once(first).chain(all.iter().copied());
        let same = std::ptr::eq(dispatch.kernel, first.kernel);
        if !same || before.any(|other| depends(program, dispatch, other)) {
            break;
        }
        all.push(dispatch);
    }
    all
}

/// Whether views by the same name are the same, and the others of `next` in memory that `first`
/// does not touch.
fn fits(program: &Program, first: &Dispatch, next: &Dispatch) -> bool {
    let bound = next.kernel.bindings.iter().zip(&next.views);
    let mut bound = bound.filter_map(|(binding, view)| Some((binding, view.as_ref()?)));
    bound.all(|(binding, view)| match first.named(binding.name) {
        Some(own) => binding.access == Access::Read && same_place(program, own, view),
        None => {
            let buffer = buffer_of(program, view);
            let mut views = first.views.iter().flatten();
            !views.any(|own| Arc::ptr_eq(buffer_of(program, own), buffer))
        }
    })
}

fn same_place(program: &Program, a: &Tensor, b: &Tensor) -> bool {
    let of = |t: &Tensor| (t.dtype, t.rows, t.cols, t.stride, t.offset);
    of(a) == of(b) && Arc::ptr_eq(buffer_of(program, a), buffer_of(program, b))
}

/// Whether one of two launches writes memory that the other touches.
fn depends(program: &Program, a: &Dispatch, b: &Dispatch) -> bool {
    let touches = |dispatch: &Dispatch, written: &Tensor| {
        let buffer = buffer_of(program, written);
        let mut views = dispatch.views.iter().flatten();
        views.any(|view| Arc::ptr_eq(buffer_of(program, view), buffer))
    };
    a.written().any(|written| touches(b, written)) || b.written().any(|written| touches(a, written))
}
