//! Whether mark-up can be read in a moment. It is parsed as the cleaner parses it, piece by piece, into a tree of which only
//! the depths are kept, and given up as soon as a limit is passed: tags that nest without end make a parser slower with each
//! further one, misnested ones make it repeat others, and a tag with endless attributes compares each with all before.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink as _};
use html5ever::{
    Attribute, LocalName, Namespace, ParseOpts, QualName, local_name, ns, parse_fragment,
};

/// How deep elements may stand in others.
pub(super) const MAX_DEPTH: u32 = 256;
/// How many elements there may be, with those that a parser repeats.
pub(super) const MAX_ELEMENTS: usize = 50_000;
/// How long reading it may take: ordinary mail takes a few milliseconds. Each reading that follows takes about as long.
const MAX_TIME: Duration = Duration::from_millis(250);
/// How much is given to the parser before the limits are looked at, in bytes.
const PIECE: usize = 512;

/// Whether mark-up keeps within the limits.
pub(super) fn holds(html: &str) -> bool {
    let began = Instant::now();
    let seen = Rc::new(Seen::default());
    let context = QualName::new(None, ns!(html), local_name!("div"));
    let sink = Depths::new(Rc::clone(&seen), |_, _| {});
    let mut parser = parse_fragment(sink, ParseOpts::default(), context, Vec::new(), false);
    let mut rest = html;
    while !rest.is_empty() {
        let mut end = PIECE.min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (piece, after) = rest.split_at(end);
        parser.process(StrTendril::from(piece));
        rest = after;
        if seen.depth.get() > MAX_DEPTH
            || seen.elements.get() > MAX_ELEMENTS
            || began.elapsed() > MAX_TIME
        {
            return false;
        }
    }
    true
}

/// What was seen of a tree.
#[derive(Default)]
pub(super) struct Seen {
    depth: Cell<u32>,
    elements: Cell<usize>,
}

/// A tree of which the depths are kept, and every element told.
pub(super) struct Depths<F: Fn(&QualName, &[Attribute])> {
    seen: Rc<Seen>,
    nodes: RefCell<Vec<Node>>,
    tell: F,
}

/// A node, by its number.
struct Node {
    name: Rc<QualName>,
    depth: u32,
    is_integration_point: bool,
}

/// The name of an element.
#[derive(Debug)]
pub(super) struct Name(Rc<QualName>);

impl html5ever::interface::ElemName for Name {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl<F: Fn(&QualName, &[Attribute])> Depths<F> {
    pub(super) fn new(seen: Rc<Seen>, tell: F) -> Self {
        let depths = Self {
            seen,
            nodes: RefCell::default(),
            tell,
        };
        depths.node(QualName::new(None, ns!(), LocalName::from("")), false);
        depths
    }

    fn node(&self, name: QualName, is_integration_point: bool) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node {
            name: Rc::new(name),
            depth: 0,
            is_integration_point,
        });
        nodes.len() - 1
    }

    fn depth(&self, node: usize) -> u32 {
        self.nodes.borrow().get(node).map_or(0, |node| node.depth)
    }

    fn put(&self, child: &NodeOrText<usize>, depth: u32) {
        let NodeOrText::AppendNode(child) = child else {
            return;
        };
        if let Some(node) = self.nodes.borrow_mut().get_mut(*child) {
            node.depth = depth;
        }
        self.seen.depth.set(self.seen.depth.get().max(depth));
    }
}

impl<F: Fn(&QualName, &[Attribute])> TreeSink for Depths<F> {
    type Handle = usize;
    type Output = ();
    type ElemName<'a>
        = Name
    where
        Self: 'a;

    fn finish(self) {}

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> usize {
        0
    }

    fn elem_name<'a>(&'a self, target: &'a usize) -> Name {
        let nodes = self.nodes.borrow();
        // The parser asks only for what it was given.
        let at = (*target).min(nodes.len() - 1);
        Name(Rc::clone(&nodes[at].name))
    }

    fn create_element(
        &self,
        name: QualName,
        attributes: Vec<Attribute>,
        flags: ElementFlags,
    ) -> usize {
        (self.tell)(&name, &attributes);
        self.seen.elements.set(self.seen.elements.get() + 1);
        self.node(name, flags.mathml_annotation_xml_integration_point)
    }

    fn create_comment(&self, _: StrTendril) -> usize {
        self.node(QualName::new(None, ns!(), LocalName::from("")), false)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> usize {
        self.node(QualName::new(None, ns!(), LocalName::from("")), false)
    }

    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        self.put(&child, self.depth(*parent) + 1);
    }

    fn append_based_on_parent_node(&self, element: &usize, _: &usize, child: NodeOrText<usize>) {
        self.put(&child, self.depth(*element) + 1);
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &usize) -> usize {
        *target
    }

    fn same_node(&self, one: &usize, other: &usize) -> bool {
        one == other
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &usize, node: NodeOrText<usize>) {
        self.put(&node, self.depth(*sibling));
    }

    fn add_attrs_if_missing(&self, _: &usize, _: Vec<Attribute>) {}

    fn remove_from_parent(&self, _: &usize) {}

    fn reparent_children(&self, _: &usize, _: &usize) {}

    fn is_mathml_annotation_xml_integration_point(&self, node: &usize) -> bool {
        self.nodes
            .borrow()
            .get(*node)
            .is_some_and(|node| node.is_integration_point)
    }
}
