//! Kinds of numbers that the transformer can be computed in.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

pub trait Scalar:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// A constant.
    fn of(value: f64) -> Self;
    /// The number itself, for comparisons.
    fn value(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
}

macro_rules! floats {
    ($($float:ident),*) => {$(
        impl Scalar for $float {
            fn of(value: f64) -> Self {
                value as $float
            }
            fn value(self) -> f64 {
                self.into()
            }
            fn exp(self) -> Self {
                $float::exp(self)
            }
            fn ln(self) -> Self {
                $float::ln(self)
            }
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
        }
    )*};
}
floats!(f32, f64);

/// `value + eps tangent` with `eps^2 = 0`: functions of it carry their derivative along.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    pub value: f64,
    pub tangent: f64,
}

impl Dual {
    /// Numbers that move along a direction.
    pub fn along(values: &[f64], tangents: &[f64]) -> Vec<Dual> {
        let pairs = values.iter().zip(tangents);
        pairs
            .map(|(&value, &tangent)| Dual { value, tangent })
            .collect()
    }

    /// Numbers that stay where they are.
    pub fn still(values: &[f64]) -> Vec<Dual> {
        values.iter().map(|&value| Dual::of(value)).collect()
    }

    pub fn values(duals: &[Dual]) -> Vec<f64> {
        duals.iter().map(|dual| dual.value).collect()
    }

    pub fn tangents(duals: &[Dual]) -> Vec<f64> {
        duals.iter().map(|dual| dual.tangent).collect()
    }

    /// A function's value here, and its derivative times the tangent.
    fn through(self, value: f64, derivative: f64) -> Dual {
        Dual {
            value,
            tangent: derivative * self.tangent,
        }
    }
}

impl Add for Dual {
    type Output = Dual;
    fn add(self, other: Dual) -> Dual {
        Dual {
            value: self.value + other.value,
            tangent: self.tangent + other.tangent,
        }
    }
}

impl Sub for Dual {
    type Output = Dual;
    fn sub(self, other: Dual) -> Dual {
        self + -other
    }
}

impl Mul for Dual {
    type Output = Dual;
    fn mul(self, other: Dual) -> Dual {
        Dual {
            value: self.value * other.value,
            tangent: self.tangent * other.value + self.value * other.tangent,
        }
    }
}

impl Div for Dual {
    type Output = Dual;
    fn div(self, other: Dual) -> Dual {
        let value = self.value / other.value;
        Dual {
            value,
            tangent: (self.tangent - value * other.tangent) / other.value,
        }
    }
}

impl Neg for Dual {
    type Output = Dual;
    fn neg(self) -> Dual {
        Dual {
            value: -self.value,
            tangent: -self.tangent,
        }
    }
}

impl AddAssign for Dual {
    fn add_assign(&mut self, other: Dual) {
        *self = *self + other;
    }
}

impl Scalar for Dual {
    fn of(value: f64) -> Dual {
        Dual {
            value,
            tangent: 0.0,
        }
    }

    fn value(self) -> f64 {
        self.value
    }

    fn exp(self) -> Dual {
        let value = self.value.exp();
        self.through(value, value)
    }

    fn ln(self) -> Dual {
        self.through(self.value.ln(), self.value.recip())
    }

    fn sqrt(self) -> Dual {
        let value = self.value.sqrt();
        self.through(value, 0.5 / value)
    }
}
