//! Whether a device's fast products are right, asked when it opens: how drivers order what
//! cooperative matrices read and write cannot be tested beforehand.

use half::f16;

use crate::engine::{DType, Device, EngineError, Recording};
use crate::kernels::matmul::{Onto, matmul};

/// Several tiles each way, and a ragged end of each.
const ROWS: usize = 130;
const OUTPUTS: usize = 150;
const INNER: usize = 100;
/// The row one of whose elements no f16 holds.
const LARGE_ROW: usize = 77;
const LARGE: f32 = 1e6;

/// Multiplies numbers whose products are known to the last bit; says what is wrong with them.
pub fn fast_products(device: &Device) -> Result<(), String> {
    let products = products(device).map_err(|error| error.to_string())?;
    judge(&products)
}

fn products(device: &Device) -> Result<Vec<f32>, EngineError> {
    let what = "the self-test";
    let x = device.tensor(DType::F32, ROWS, INNER, what)?;
    let values: Vec<f32> = pairs(ROWS).map(|(row, k)| x_at(row, k)).collect();
    device.write(&x, &values)?;
    let halves = pairs(OUTPUTS).map(|(column, k)| f16::from_f32(weight_at(column, k)));
    let bytes: Vec<u8> = halves.flat_map(f16::to_le_bytes).collect();
    let weight = device.weight_of(&bytes, DType::F16, OUTPUTS, INNER, what)?;
    let out = device.tensor(DType::F32, ROWS, OUTPUTS, what)?;
    let mut recording = Recording::new();
    matmul(&mut recording, &x, &weight, None, &out, Onto::Replace);
    device.run_once(recording)?;
    device.read(&out)
}

/// Every row with every place along the inner length.
fn pairs(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(|row| (0..INNER).map(move |k| (row, k)))
}

fn x_at(row: usize, k: usize) -> f32 {
    if row == LARGE_ROW && k == 1 {
        return LARGE;
    }
    ((3 * row + 7 * k + row * k) % 17) as f32 - 8.0
}

/// Never 0, so that a factor beyond f16 cannot vanish.
fn weight_at(column: usize, k: usize) -> f32 {
    ((5 * column + 11 * k + column * k) % 13) as f32 - 6.5
}

/// Sums of so few small numbers are exact in any order. A sum of what f16 does not hold need only
/// not pass for a number.
fn judge(products: &[f32]) -> Result<(), String> {
    for (i, &found) in products.iter().enumerate() {
        let (row, column) = (i / OUTPUTS, i % OUTPUTS);
        let terms = (0..INNER).map(|k| x_at(row, k) * weight_at(column, k));
        let expected: f32 = terms.sum();
        let noticed = row == LARGE_ROW && !found.is_finite();
        if found != expected && !noticed {
            return Err(format!(
                "its self-test failed: element ({row}, {column}) of a product is {found}, not {expected}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_products_pass_and_wrong_ones_do_not() {
        let right = products(&Device::cpu(2)).expect("memory");
        assert_eq!(right.len(), ROWS * OUTPUTS);
        assert_eq!(judge(&right), Ok(()));
        let with = |place: usize, value: f32| {
            let mut wrong = right.clone();
            wrong[place] = value;
            judge(&wrong)
        };
        let other = with(OUTPUTS + 2, right[OUTPUTS + 2] + 1.0);
        assert!(other.is_err_and(|said| said.contains("element (1, 2)")));
        assert!(with(right.len() - 1, f32::NAN).is_err());
        // Only what f16 does not hold may be infinite, and it may not be the largest f16.
        let large = LARGE_ROW * OUTPUTS;
        assert_eq!(with(large, f32::INFINITY), Ok(()));
        let rest = right[large] - LARGE * weight_at(0, 1);
        assert!(with(large, 65504.0 * weight_at(0, 1) + rest).is_err());
    }
}
