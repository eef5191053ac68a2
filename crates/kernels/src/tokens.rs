//! Images as sequences of tokens, `[T·N, C]`: token-major, then batch, as pixels are in `[H, W, N, C]`.
//!
//! [`embed_tokens`] makes them from a map of patches, [`first_rows`] takes the class token, and [`add_images`] adds a
//! branch whose weight differs from image to image (stochastic depth). The mixing of tokens is in `attention`.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::layout::Hwnc;
use crate::precision::Number;
use crate::storage::{self, Values, by_number};
use crate::tape::{self, Backward, note, wanted};
use crate::{Gradient, composed, tasks};

/// The rows `[H·W·N, C]` of activations `[H, W, N, C]`.
pub fn rows_of(x: &Hwnc) -> Result<Tensor> {
    let (h, w, n, c) = x.dims();
    tape::reshape(x.tensor(), (h * w * n, c))
}

/// Rows `[H·W·N, C]` as activations; `shape` is `(h, w, n, c)`.
///
/// # Errors
/// When there are more or fewer numbers.
pub fn rows_as(rows: &Tensor, shape: (usize, usize, usize, usize)) -> Result<Hwnc> {
    let (h, w, n, c) = shape;
    if rows.elem_count() != h * w * n * c {
        bail!("tokens: {:?} does not fill activations of [{h}, {w}, {n}, {c}]", rows.dims());
    }
    Hwnc::new(tape::reshape(rows, shape)?)
}

/// A class token and registers before the pixels of a map, and positions added: from `[H, W, N, C]`, a class token of `C` values,
/// registers `[1, R, C]` where there are some, and positions `[1, 1 + H·W, C]`, the first for the class token, or `[1, H·W, C]` for
/// the pixels alone, to `[(1 + R + H·W)·N, C]`.
///
/// # Errors
/// When the shapes do not agree.
pub fn embed_tokens(
    map: &Hwnc,
    class: &Tensor,
    registers: Option<&Tensor>,
    positions: &Tensor,
) -> Result<Tensor> {
    let (h, w, n, c) = map.dims();
    let count = registers.map_or(0, |registers| registers.elem_count() / c.max(1));
    let placed = match *positions.dims() {
        [1, tokens, channels] if channels == c && tokens == h * w => false,
        [1, tokens, channels] if channels == c && tokens == 1 + h * w && count == 0 => true,
        _ => bail!(
            "tokens: a map {:?} needs positions [1, {}, {c}], or [1, {}, {c}] for its pixels alone, not {:?}",
            map.dims(),
            1 + h * w,
            h * w,
            positions.dims()
        ),
    };
    if class.elem_count() != c
        || registers.is_some_and(|registers| registers.dims() != [1, count, c])
        || map.tensor().elem_count() == 0
    {
        bail!(
            "tokens: a map {:?} needs a class token of {c} values, not {:?}, and registers [1, R, {c}]",
            map.dims(),
            class.dims()
        );
    }
    if !storage::runs_here(map.tensor()) {
        return composed::embed_tokens(map, class, registers, positions);
    }
    let (class, positions) = (class.contiguous()?, positions.contiguous()?);
    let registers = registers.map(Tensor::contiguous).transpose()?;
    let embed = Embed { registers: count, placed, tokens: 1 + count + h * w, n, c };
    let y = by_number!(storage::is_half(map.tensor()), T => {
        let mut first = Values::<f32>::of(&class)?.to_vec();
        if let Some(registers) = &registers {
            first.extend_from_slice(&Values::<f32>::of(registers)?);
        }
        let y = embed.forward::<T>(&Values::of(map.tensor())?, &first, &Values::of(&positions)?);
        storage::tensor(y, (embed.tokens * n, c))?
    });
    let inputs: Vec<&Tensor> = [map.tensor(), &class, &positions].into_iter().chain(&registers).collect();
    note(&inputs, &y, embed);
    Ok(y)
}

/// The first `count` rows of `[N, C]`: those of the first token, where `count` is the number of images.
///
/// # Errors
/// When there are fewer rows.
pub fn first_rows(x: &Tensor, count: usize) -> Result<Tensor> {
    let (rows, c) = x.dims2()?;
    if count > rows {
        bail!("tokens: {count} rows were asked for of {:?}", x.dims());
    }
    match storage::runs_here(x) {
        true if count == rows => Ok(x.clone()),
        true => {
            let x = x.contiguous()?;
            let y = by_number!(storage::is_half(&x), T => {
                let first = Values::<T>::of(&x)?[..count * c].to_vec();
                storage::tensor(first, (count, c))?
            });
            note(&[&x], &y, First);
            Ok(y)
        }
        false => x.narrow(0, 0, count)?.contiguous(),
    }
}

/// `x + scale · branch` for rows `[T·N, C]`, with one scale for each of the `N` images: of a branch that is left out for
/// some images, as stochastic depth does (Huang et al., 2016, arXiv:1603.09382).
///
/// # Errors
/// When the shapes differ, or the rows are not those of `scales.len()` images.
pub fn add_images(x: &Tensor, branch: &Tensor, scales: &[f32]) -> Result<Tensor> {
    let (rows, c) = x.dims2()?;
    if x.dims() != branch.dims() || scales.is_empty() || rows % scales.len() != 0 {
        bail!(
            "tokens: a branch {:?} with scales of {} images cannot be added to {:?}",
            branch.dims(),
            scales.len(),
            x.dims()
        );
    }
    if !storage::runs_here(x) {
        return composed::add_images(x, branch, scales);
    }
    let x = x.contiguous()?;
    let branch = storage::keep_as(&branch.contiguous()?, x.dtype())?;
    let images = AddImages(scales.to_vec());
    let y = by_number!(storage::is_half(&x), T => {
        let y = images.rows::<T>(&Values::of(&branch)?, Some(&Values::of(&x)?), c);
        storage::tensor(y, x.shape())?
    });
    note(&[&x, &branch], &y, images);
    Ok(y)
}

/// The operation on the tape: inputs are the map, the class token, the positions, and the registers where there are some.
struct Embed {
    registers: usize,
    /// Whether the class token has a position.
    placed: bool,
    tokens: usize,
    n: usize,
    c: usize,
}

impl Embed {
    /// Where the first token stands that has a position.
    fn first_placed(&self) -> usize {
        if self.placed { 0 } else { 1 + self.registers }
    }

    fn forward<T: Number>(&self, map: &[T], first: &[f32], positions: &[f32]) -> Vec<T> {
        let (n, c) = (self.n, self.c);
        let nowhere = vec![0.0; c];
        let mut y: Vec<T> = tasks::zeros(self.tokens * n * c);
        y.par_chunks_mut(n * c).enumerate().for_each(|(token, y)| {
            let place = token.checked_sub(self.first_placed());
            let position = place.map_or(&nowhere[..], |place| &positions[place * c..(place + 1) * c]);
            for (image, y) in y.chunks_exact_mut(c).enumerate() {
                match token.checked_sub(1 + self.registers) {
                    None => tasks::sum(y, &first[token * c..(token + 1) * c], position),
                    Some(pixel) => tasks::sum(y, &map[(pixel * n + image) * c..][..c], position),
                }
            }
        });
        y
    }

    fn gradients<T: Number>(&self, inputs: &[Tensor], dy: &[T]) -> Result<Vec<Option<Gradient>>> {
        let [map, class, positions, registers @ ..] = inputs else { bail!("tokens: three inputs at least") };
        let token = self.n * self.c;
        let (of_first, of_pixels) = dy.split_at((1 + self.registers) * token);
        let sums = |dy: &[T]| -> Vec<f32> {
            dy.par_chunks(token).flat_map_iter(|dy| tasks::column_sums(dy, self.c)).collect()
        };
        let mut found: Vec<Option<Gradient>> = vec![None; inputs.len()];
        if wanted(map) {
            found[0] = Some(storage::tensor(of_pixels.to_vec(), map.shape())?.into());
        }
        if wanted(class) {
            found[1] = Some(storage::tensor(sums(&of_first[..token]), class.shape())?.into());
        }
        if wanted(positions) {
            found[2] =
                Some(storage::tensor(sums(&dy[self.first_placed() * token..]), positions.shape())?.into());
        }
        if let [registers] = registers
            && wanted(registers)
        {
            found[3] = Some(storage::tensor(sums(&of_first[token..]), registers.shape())?.into());
        }
        Ok(found)
    }
}

impl Backward for Embed {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, y)?;
        by_number!(storage::is_half(y), T => self.gradients::<T>(inputs, &Values::of(&dy)?))
    }
}

/// The operation on the tape.
struct First;

impl Backward for First {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, y)?;
        by_number!(storage::is_half(y), T => {
            let mut dx: Vec<T> = tasks::zeros(inputs[0].elem_count());
            dx[..dy.elem_count()].copy_from_slice(&Values::<T>::of(&dy)?);
            Ok(vec![Some(storage::tensor(dx, inputs[0].shape())?.into())])
        })
    }
}

/// The operation on the tape, with the images' scales.
struct AddImages(Vec<f32>);

impl Backward for AddImages {
    fn backward(&self, inputs: &[Tensor], y: &Tensor, dy: &Tensor) -> Result<Vec<Option<Gradient>>> {
        let dy = storage::like(dy, y)?;
        let scaled = by_number!(storage::is_half(y), T => {
            let scaled = self.rows::<T>(&Values::of(&dy)?, None, y.dim(1)?);
            storage::tensor(scaled, inputs[1].shape())?
        });
        Ok(vec![Some(dy.into()), Some(scaled.into())])
    }
}

impl AddImages {
    /// `[x +] scale · branch`.
    fn rows<T: Number>(&self, branch: &[T], x: Option<&[T]>, c: usize) -> Vec<T> {
        let size = self.0.len() * c;
        let mut y: Vec<T> = tasks::zeros(branch.len());
        y.par_chunks_mut(size.max(1)).zip(branch.par_chunks(size.max(1))).enumerate().for_each(
            |(token, (y, branch))| {
                let x = x.map(|x| &x[token * size..][..size]);
                for (image, scale) in self.0.iter().enumerate() {
                    let place = image * c..(image + 1) * c;
                    scaled(&mut y[place.clone()], &branch[place.clone()], *scale, x.map(|x| &x[place]));
                }
            },
        );
        y
    }
}

tasks::vectorised! {
    fn scaled<'a, T: Number>(y: &'a mut [T], branch: &'a [T], scale: f32, x: Option<&'a [T]>) {
        match x {
            None => {
                for (y, branch) in y.iter_mut().zip(branch) {
                    *y = T::nearest(scale * branch.wide());
                }
            }
            Some(x) => {
                for ((y, branch), x) in y.iter_mut().zip(branch).zip(x) {
                    *y = T::nearest(x.wide() + scale * branch.wide());
                }
            }
        }
    }
}
