//! What a release engineer looks at first.

use super::Difference;
use super::packages::Change;

/// How much a package matters, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// It goes back to an older version.
    Downgrade,
    /// A vulnerability is fixed in it, or open again.
    Security,
    /// The kernel.
    Kernel,
    /// Kubernetes itself.
    Kubernetes,
    /// What runs containers.
    Runtime,
    /// The C library.
    Libc,
    /// Cryptography.
    Crypto,
    /// Everything else.
    Other,
}

/// Words that a source package's name begins with, and what it then is. A name ends there or goes on
/// with what is no letter: `linux-virt`, `openssl1.1-compat`; not `runcible`.
const CORE: [(&str, Importance); 21] = [
    ("linux-virt", Importance::Kernel),
    ("linux-lts", Importance::Kernel),
    ("linux-edge", Importance::Kernel),
    ("linux-rpi", Importance::Kernel),
    ("linux-image", Importance::Kernel),
    ("linux-firmware", Importance::Kernel),
    ("kubernetes", Importance::Kubernetes),
    ("kubelet", Importance::Kubernetes),
    ("kubeadm", Importance::Kubernetes),
    ("kubectl", Importance::Kubernetes),
    ("etcd", Importance::Kubernetes),
    ("cri-o", Importance::Runtime),
    ("cri-tools", Importance::Runtime),
    ("containerd", Importance::Runtime),
    ("runc", Importance::Runtime),
    ("crun", Importance::Runtime),
    ("conmon", Importance::Runtime),
    ("cni-plugins", Importance::Runtime),
    ("musl", Importance::Libc),
    ("openssl", Importance::Crypto),
    ("libressl", Importance::Crypto),
];

/// What a source package is by its name alone.
pub fn of_origin(origin: &str) -> Importance {
    let is = |(word, _): &&(&str, Importance)| {
        let rest = origin.strip_prefix(word);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
    };
    CORE.iter()
        .find(is)
        .map_or(Importance::Other, |(_, it)| *it)
}

impl Difference {
    /// How much a package of that name and origin, which changed so, matters; without a change it came
    /// or went.
    pub(super) fn importance(
        &self,
        name: &str,
        origin: &str,
        change: Option<Change>,
    ) -> Importance {
        let is_in = |fixes: &[super::secdb::Fix]| {
            let mut packages = fixes.iter().flat_map(|fix| &fix.packages);
            packages.any(|package| package == name)
        };
        let security = self.security.as_ref();
        match change {
            Some(Change::Down) => Importance::Downgrade,
            _ if security.is_some_and(|found| is_in(&found.fixed) || is_in(&found.reopened)) => {
                Importance::Security
            }
            _ => of_origin(origin),
        }
    }
}
