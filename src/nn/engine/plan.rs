//! A graph for one picture size: where every image lies in the arena, which
//! kernel computes it, and in which order.

use super::Outputs;
use super::arithmetic::Arithmetic;
use super::graph::{Graph, Id, Op};
use crate::error::Result;
use crate::nn::kernels::nhwc::conv::ConvSpec;
use crate::nn::kernels::nhwc::{GROUP, Segment, View, pool, transfer, upsample};
use crate::nn::kernels::team::Team;
use std::ops::Range;

/// Buffers begin at multiples of so many values: whole lines of the cache.
const LINE: usize = 32;

/// An image's memory: its own, or that of the concatenation it is part of.
struct Buffer {
    size: (usize, usize),
    /// Values a pixel.
    pixel: usize,
    /// Pixels of zeros on each side: the largest padding of its readers.
    frame: usize,
    /// Pixels after it that may be read, without effect.
    surplus: usize,
    /// First step that writes it, last that reads it.
    life: (usize, usize),
    start: usize,
}

impl Buffer {
    /// Values of the image and its frame.
    fn len(&self) -> usize {
        (self.size.0 + 2 * self.frame) * (self.size.1 + 2 * self.frame) * self.pixel
    }

    /// Values from its start to where another may begin.
    fn reach(&self) -> usize {
        (self.len() + self.surplus * self.pixel).next_multiple_of(LINE)
    }
}

/// A frame of zeros to lay round an image before it is written.
struct Frame {
    memory: Range<usize>,
    size: (usize, usize),
    pixel: usize,
    frame: usize,
}

enum Kernel<A: Arithmetic> {
    Put,
    Conv {
        conv: A::Conv,
        residual: Option<View>,
    },
    MaxPool(usize, usize, usize),
    Upsample2x,
}

struct Step<A: Arithmetic> {
    /// Memory may have held another image before: its frame is cleared anew.
    frame: Option<Frame>,
    kernel: Kernel<A>,
    x: View,
    y: View,
}

enum Output {
    Image(View),
    Mean(View),
}

/// A graph, ready to run on pictures of one size.
pub(super) struct Plan<A: Arithmetic> {
    steps: Vec<Step<A>>,
    outputs: Vec<Output>,
    arena: usize,
}

impl<A: Arithmetic> Plan<A> {
    pub fn new(graph: &Graph, height: usize, width: usize, arithmetic: A) -> Result<Self> {
        let sizes = graph.sizes(height, width)?;
        let homes = homes(graph);
        let mut buffers = buffers::<A>(graph, &sizes, &homes);
        let used = |i: &usize| homes[*i].0 == *i && !matches!(graph.nodes[*i].op, Op::Mean(_));
        let used: Vec<usize> = (0..graph.nodes.len()).filter(used).collect();
        let arena = place(&mut buffers, used);
        let views: Vec<View> = (0..graph.nodes.len())
            .map(|i| view(graph, &sizes, &homes, &buffers, i))
            .collect();
        let mut steps = Vec::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            let y = views[i].clone();
            let (x, kernel) = match &node.op {
                Op::Concat(_) | Op::Mean(_) => continue,
                Op::Input => (y.clone(), Kernel::Put),
                Op::Conv {
                    conv,
                    x,
                    residual,
                    relu,
                } => {
                    let x = views[x.0].clone();
                    let residual = residual.map(|r| views[r.0].clone());
                    let spec = ConvSpec {
                        kernel: conv.kernel,
                        stride: conv.stride,
                        padding: conv.padding,
                        relu: *relu,
                    };
                    let conv = arithmetic.conv(conv, spec, &x, sizes[i]);
                    (x, Kernel::Conv { conv, residual })
                }
                Op::MaxPool {
                    x,
                    kernel,
                    stride,
                    padding,
                } => (
                    views[x.0].clone(),
                    Kernel::MaxPool(*kernel, *stride, *padding),
                ),
                Op::Upsample2x(x) => (views[x.0].clone(), Kernel::Upsample2x),
            };
            let buffer = &buffers[homes[i].0];
            let frame = (buffer.frame > 0 && buffer.life.0 == i).then_some(Frame {
                memory: buffer.start..buffer.start + buffer.len(),
                size: buffer.size,
                pixel: buffer.pixel,
                frame: buffer.frame,
            });
            steps.push(Step {
                frame,
                kernel,
                x,
                y,
            });
        }
        let outputs = graph
            .outputs
            .iter()
            .map(|&Id(i)| match &graph.nodes[i].op {
                Op::Mean(x) => Output::Mean(views[x.0].clone()),
                _ => Output::Image(views[i].clone()),
            })
            .collect();
        Ok(Self {
            steps,
            outputs,
            arena,
        })
    }

    /// Values of the arena it runs in.
    pub fn arena(&self) -> usize {
        self.arena
    }

    /// Runs one picture.
    pub fn run(&self, arena: &mut [A::Element], picture: &[f32], team: Option<&Team>) -> Outputs {
        assert!(arena.len() >= self.arena);
        for step in &self.steps {
            step.run(arena, picture, team);
        }
        self.outputs
            .iter()
            .map(|output| match output {
                Output::Image(view) => transfer::take(arena, view, team),
                Output::Mean(view) => pool::mean(arena, view),
            })
            .collect()
    }
}

impl<A: Arithmetic> Step<A> {
    fn run(&self, arena: &mut [A::Element], picture: &[f32], team: Option<&Team>) {
        let (x, y) = (&self.x, &self.y);
        if let Some(frame) = &self.frame {
            let memory = &mut arena[frame.memory.clone()];
            transfer::clear_frame(memory, frame.size, frame.pixel, frame.frame);
        }
        match &self.kernel {
            Kernel::Put => transfer::put(arena, picture, y, team),
            Kernel::Conv { conv, residual } => {
                A::run(conv, arena, x, y, residual.as_ref(), team);
            }
            &Kernel::MaxPool(kernel, stride, padding) => {
                pool::max_pool(arena, x, y, (kernel, stride, padding), team);
            }
            Kernel::Upsample2x => upsample::bilinear2x(arena, x, y, team),
        }
    }
}

/// For each image the buffer it lies in, and the offset of its channels there.
/// A buffer has the number of the image that gave rise to it.
fn homes(graph: &Graph) -> Vec<(usize, usize)> {
    let mut homes: Vec<(usize, usize)> = (0..graph.nodes.len()).map(|i| (i, 0)).collect();
    for (i, node) in graph.nodes.iter().enumerate() {
        if let Op::Concat(parts) = &node.op {
            let mut offset = 0;
            for &Id(part) in parts {
                homes[part] = (i, offset);
                offset += graph.nodes[part].channels.next_multiple_of(GROUP);
            }
        }
    }
    homes
}

/// The channels of image `i`, of a concatenation part by part.
fn segments(graph: &Graph, i: usize) -> Vec<Segment> {
    let parts = match &graph.nodes[i].op {
        Op::Concat(parts) => parts.iter().map(|&Id(p)| graph.nodes[p].channels).collect(),
        _ => vec![graph.nodes[i].channels],
    };
    let mut offset = 0;
    let segment = |channels: usize| {
        let segment = Segment { offset, channels };
        offset += channels.next_multiple_of(GROUP);
        segment
    };
    parts.into_iter().map(segment).collect()
}

/// One buffer for each image; those of parts of a concatenation stay unused.
fn buffers<A: Arithmetic>(
    graph: &Graph,
    sizes: &[(usize, usize)],
    homes: &[(usize, usize)],
) -> Vec<Buffer> {
    let mut buffers: Vec<Buffer> = (0..graph.nodes.len())
        .map(|i| {
            let channels: usize = segments(graph, i)
                .iter()
                .map(|s| s.channels.next_multiple_of(GROUP))
                .sum();
            Buffer {
                size: sizes[i],
                pixel: channels,
                frame: 0,
                surplus: 0,
                life: (i, i),
                start: 0,
            }
        })
        .collect();
    for (i, node) in graph.nodes.iter().enumerate() {
        let written = &mut buffers[homes[i].0].life;
        written.0 = written.0.min(i);
        for Id(x) in node.op.reads() {
            let buffer = &mut buffers[homes[x].0];
            buffer.life.1 = buffer.life.1.max(i);
            if let Op::Conv { conv, x: read, .. } = &node.op
                && read.0 == x
            {
                buffer.frame = buffer.frame.max(conv.padding);
                buffer.surplus = buffer.surplus.max(A::surplus(conv.stride));
            }
        }
    }
    for &Id(output) in &graph.outputs {
        let kept = match graph.nodes[output].op {
            Op::Mean(Id(x)) => x,
            _ => output,
        };
        buffers[homes[kept].0].life.1 = usize::MAX;
    }
    buffers
}

/// Gives every buffer in use its place in the arena, so that those alive at one
/// time do not overlap: the largest first, each at the lowest place that is
/// free. Returns the length of the arena.
fn place(buffers: &mut [Buffer], mut used: Vec<usize>) -> usize {
    used.sort_by_key(|&i| std::cmp::Reverse(buffers[i].len()));
    let mut placed: Vec<usize> = Vec::new();
    let mut arena = 0;
    for i in used {
        let life = buffers[i].life;
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .map(|&p| &buffers[p])
            .filter(|other| other.life.0 <= life.1 && life.0 <= other.life.1)
            .map(|other| other.start..other.start + other.reach())
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if start + buffers[i].reach() <= range.start {
                break;
            }
            start = start.max(range.end);
        }
        buffers[i].start = start;
        arena = arena.max(start + buffers[i].reach());
        placed.push(i);
    }
    arena
}

/// Where image `i` lies.
fn view(
    graph: &Graph,
    sizes: &[(usize, usize)],
    homes: &[(usize, usize)],
    buffers: &[Buffer],
    i: usize,
) -> View {
    let (home, offset) = homes[i];
    let buffer = &buffers[home];
    let row = (buffer.size.1 + 2 * buffer.frame) * buffer.pixel;
    View {
        start: buffer.start + buffer.frame * (row + buffer.pixel) + offset,
        row,
        pixel: buffer.pixel,
        height: sizes[i].0,
        width: sizes[i].1,
        frame: buffer.frame,
        segments: segments(graph, i),
    }
}
