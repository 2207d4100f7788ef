import Foundation
import Platform
import Testing

/// A network of its own with a bad loopback: a slow queue, whose length is the delay, and packets that get lost.
final class NetworkNamespace {
    let name = "kedge-\(getpid())-\(UInt32.random(in: 0..<UInt32.max))"
    /// Starts a program inside.
    var prefix: [String] { ["ip", "netns", "exec", name] }

    /// `rate` as tc(8) writes it, `latency` in milliseconds, `loss` as a probability.
    init(rate: String, latency: Int, loss: Double) throws {
        try Self.run(["ip", "netns", "add", name])
        do {
            try Self.run(prefix + ["ip", "link", "set", "lo", "mtu", "1500", "up"])
            try Self.run(
                prefix + [
                    "tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "16kb", "latency",
                    "\(latency)ms",
                ])
            try Self.run(
                prefix + [
                    "iptables", "-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", "\(loss)", "-j",
                    "DROP",
                ])
        } catch {
            destroy()
            throw error
        }
    }

    deinit { destroy() }

    private func destroy() { _ = try? ChildProcess.run(["ip", "netns", "del", name], milliseconds: 60_000) }

    private static func run(_ words: [String]) throws {
        let outcome = try ChildProcess.run(words, milliseconds: 60_000)
        try #require(outcome.succeeded, "\(words): \(outcome.output)")
    }

    /// Whether this machine can make one.
    static let isAvailable: Bool = {
        guard getuid() == 0 else { return false }
        return (try? NetworkNamespace(rate: "10mbit", latency: 20, loss: 0.01)) != nil
    }()
}

extension Needs {
    static let namespaces: ConditionTrait = .enabled(
        if: NetworkNamespace.isAvailable,
        "needs root, network namespaces, tbf and iptables' statistic match (apt: iproute2 iptables)")
}
