//! Ports of a container that its engine publishes on the host. A program like docker-proxy(1) may listen there, or netfilter
//! rules alone pass packets on (`userland-proxy: false`, netavark): then no socket shows it and only the engine tells.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A published port, or several in a row. Texts are hostile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// Address on the host.
    pub host: String,
    pub host_port: u16,
    pub container_port: u16,
    /// How many, counting up from both numbers.
    pub count: u16,
}

impl Port {
    /// Whether it is this port of the host.
    pub fn is_at(&self, protocol: &str, port: u16) -> bool {
        self.protocol == protocol && port.checked_sub(self.host_port).is_some_and(|distance| distance < self.count)
    }
}

impl fmt::Display for Port {
    /// `tcp 0.0.0.0:8080 -> 80`, `udp [::]:5000-5009 -> 5000-5009`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host, host_port, container_port, count } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let last = |first: u16| first.saturating_add(count.saturating_sub(1));
        if *count > 1 {
            let (to, inner) = (last(*host_port), last(*container_port));
            return write!(f, "{protocol} {host}:{host_port}-{to} -> {container_port}-{inner}");
        }
        write!(f, "{protocol} {host}:{host_port} -> {container_port}")
    }
}

/// An element of docker's `Ports`. Without a public port it is only exposed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DockerPort {
    #[serde(rename = "IP")]
    ip: String,
    #[serde(rename = "PrivatePort")]
    private: u16,
    #[serde(rename = "PublicPort")]
    public: u16,
    #[serde(rename = "Type")]
    protocol: String,
}

/// An element of podman's `Ports`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodmanPort {
    host_ip: String,
    container_port: u16,
    host_port: u16,
    range: u16,
    protocol: String,
}

pub(super) fn of_docker(ports: Option<Vec<DockerPort>>) -> Vec<Port> {
    let published = ports.unwrap_or_default().into_iter().filter(|port| port.public != 0);
    published.map(|port| port_of(port.protocol, port.ip, port.public, port.private, 1)).collect()
}

/// `protocol` may name several, with commas between.
pub(super) fn of_podman(ports: Option<Vec<PodmanPort>>) -> Vec<Port> {
    let published = ports.unwrap_or_default().into_iter().filter(|port| port.host_port != 0);
    published
        .flat_map(|port| {
            let protocols: Vec<String> = port.protocol.split(',').map(str::to_owned).collect();
            let one = move |protocol| {
                port_of(protocol, port.host_ip.clone(), port.host_port, port.container_port, port.range.max(1))
            };
            protocols.into_iter().map(one)
        })
        .collect()
}

fn port_of(protocol: String, host: String, host_port: u16, container_port: u16, count: u16) -> Port {
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    Port { protocol: or(protocol, "tcp"), host: or(host, "0.0.0.0"), host_port, container_port, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_and_podman_publish() {
        let docker =
            r#"[{"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":443,"Type":"tcp"}]"#;
        let ports = of_docker(serde_json::from_str(docker).expect("docker's form"));
        assert_eq!(ports.iter().map(Port::to_string).collect::<Vec<_>>(), ["tcp [::]:8080 -> 80"]);
        assert!(ports[0].is_at("tcp", 8080) && !ports[0].is_at("udp", 8080) && !ports[0].is_at("tcp", 8081));
        let podman = r#"[{"host_ip":"","container_port":5000,"host_port":6000,"range":10,"protocol":"tcp,udp"},{"host_port":0}]"#;
        let ports = of_podman(serde_json::from_str(podman).expect("podman's form"));
        let texts: Vec<String> = ports.iter().map(Port::to_string).collect();
        assert_eq!(texts, ["tcp 0.0.0.0:6000-6009 -> 5000-5009", "udp 0.0.0.0:6000-6009 -> 5000-5009"]);
        assert!(ports[1].is_at("udp", 6009) && !ports[1].is_at("udp", 6010) && !ports[1].is_at("udp", 5999));
        assert_eq!(of_podman(None), []);
    }
}
