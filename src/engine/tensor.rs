//! Tensors: two-dimensional views into device buffers or into a recording's temporaries.

use std::ops::Range;
use std::sync::Arc;

use super::DType;
use super::cpu::CpuBuffer;
use super::gpu::GpuBuffer;

/// Memory on one device. Cloning shares it; the last clone frees it.
#[derive(Clone)]
pub enum Buffer {
    /// Memory of the processor.
    Cpu(Arc<CpuBuffer>),
    /// Memory of a GPU.
    Gpu(Arc<GpuBuffer>),
}

impl Buffer {
    /// Size in bytes as allocated.
    pub fn bytes(&self) -> u64 {
        match self {
            Buffer::Cpu(b) => b.bytes() as u64,
            Buffer::Gpu(b) => b.bytes(),
        }
    }

    /// Whether two handles name the same memory.
    pub fn same(&self, other: &Buffer) -> bool {
        match (self, other) {
            (Buffer::Cpu(a), Buffer::Cpu(b)) => Arc::ptr_eq(a, b),
            (Buffer::Gpu(a), Buffer::Gpu(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// A temporary of one recording, given memory when the recording is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TempId(pub u32);

/// Where a tensor's elements live.
#[derive(Clone)]
pub enum Place {
    /// In memory that is there already.
    Buffer(Buffer),
    /// In a temporary of the recording, which gets its memory when it is planned.
    Temp(TempId),
}

/// A view of `rows` x `cols` elements. Row `r` starts at element `offset + r * stride`.
///
/// Views of quantised weights cover whole rows only: their `stride` is `cols`, and `offset` is a
/// multiple of it. Each executor knows how such rows are laid out in its own memory.
#[derive(Clone)]
pub struct Tensor {
    /// Where the elements are.
    pub place: Place,
    /// How the elements are stored.
    pub dtype: DType,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements from the beginning of one row to that of the next.
    pub stride: usize,
    /// Elements of the place that lie before the first row.
    pub offset: usize,
}

impl Tensor {
    /// A dense view of a whole buffer.
    pub fn dense(place: Place, dtype: DType, rows: usize, cols: usize) -> Self {
        Tensor {
            place,
            dtype,
            rows,
            cols,
            stride: cols,
            offset: 0,
        }
    }

    /// A tensor without memory, for recordings that are planned and never run.
    pub(crate) fn planned(dtype: DType, rows: usize, cols: usize) -> Self {
        let nothing = Buffer::Cpu(Arc::new(CpuBuffer::none()));
        Tensor::dense(Place::Buffer(nothing), dtype, rows, cols)
    }

    /// The rows `range` of this view.
    pub fn row_range(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.rows,
            "row range outside the view"
        );
        Tensor {
            rows: range.len(),
            offset: self.offset + range.start * self.stride,
            ..self.clone()
        }
    }

    /// The columns `range` of this view; plain types only.
    pub fn col_range(&self, range: Range<usize>) -> Self {
        assert!(
            self.dtype.is_plain(),
            "columns of quantised rows cannot be viewed"
        );
        assert!(
            range.start <= range.end && range.end <= self.cols,
            "column range outside the view"
        );
        Tensor {
            cols: range.len(),
            offset: self.offset + range.start,
            ..self.clone()
        }
    }

    /// The same elements seen as another shape; the view must be dense.
    pub fn reshape(&self, rows: usize, cols: usize) -> Self {
        assert_eq!(
            rows * cols,
            self.rows * self.cols,
            "reshape changes the number of elements"
        );
        assert!(
            self.stride == self.cols || self.rows <= 1,
            "only dense views can be reshaped"
        );
        Tensor {
            rows,
            cols,
            stride: cols,
            ..self.clone()
        }
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
    }

    /// Elements from the view's first to one past its last, gaps between rows included.
    pub fn span(&self) -> usize {
        if self.is_empty() {
            0
        } else {
            let gaps = (self.rows - 1).checked_mul(self.stride);
            let span = gaps.and_then(|gaps| gaps.checked_add(self.cols));
            span.expect("a view larger than any memory")
        }
    }

    /// Whether two views lie in the same buffer or temporary.
    pub fn same_place(&self, other: &Tensor) -> bool {
        match (&self.place, &other.place) {
            (Place::Temp(a), Place::Temp(b)) => a == b,
            (Place::Buffer(a), Place::Buffer(b)) => a.same(b),
            _ => false,
        }
    }
}

/// A weight matrix of `rows` outputs by `cols` inputs, split by rows into shards where one
/// buffer binding could not hold it.
#[derive(Clone)]
pub struct Weight {
    /// How the elements of every shard are stored.
    pub dtype: DType,
    /// Rows of the whole weight: its outputs.
    pub rows: usize,
    /// Elements of a row: its inputs.
    pub cols: usize,
    /// The rows, in order; together they are all of them.
    pub shards: Vec<Shard>,
}

/// Some consecutive rows of a [`Weight`].
#[derive(Clone)]
pub struct Shard {
    /// Row of the whole weight that is the shard's first.
    pub first_row: usize,
    /// The rows of the shard.
    pub tensor: Tensor,
}

impl Weight {
    /// A weight whose rows all lie in one buffer.
    pub fn whole(buffer: Buffer, dtype: DType, rows: usize, cols: usize) -> Weight {
        Weight::of(Tensor::dense(Place::Buffer(buffer), dtype, rows, cols))
    }

    /// A tensor as a weight.
    pub fn of(tensor: Tensor) -> Weight {
        Weight {
            dtype: tensor.dtype,
            rows: tensor.rows,
            cols: tensor.cols,
            shards: vec![Shard {
                first_row: 0,
                tensor,
            }],
        }
    }

    /// The shards that cover `rows`, each cut to them, with the first row it covers.
    pub fn pieces(&self, rows: Range<usize>) -> impl Iterator<Item = Shard> + '_ {
        self.shards.iter().filter_map(move |shard| {
            let start = rows.start.max(shard.first_row);
            let end = rows.end.min(shard.first_row + shard.tensor.rows);
            (start < end).then(|| Shard {
                first_row: start,
                tensor: shard
                    .tensor
                    .row_range(start - shard.first_row..end - shard.first_row),
            })
        })
    }

    /// Bytes the weight takes as files hold it.
    pub fn bytes(&self) -> usize {
        self.dtype.row_bytes(self.cols).unwrap_or(0) * self.rows
    }
}
