internal import Glibc

/// A TCP socket that never blocks, closed when its owner goes.
struct HubSocket: ~Copyable {
    let raw: Int32
    deinit { close(raw) }

    private init(owning raw: Int32) {
        self.raw = raw
        let flags = fcntl(raw, F_GETFL, 0)
        _ = fcntl(raw, F_SETFL, flags | O_NONBLOCK)
    }

    /// Listens on a numeric address of this machine; port 0 takes a free one.
    init(listenOn address: String, port: UInt16) throws(HubError) {
        let place = "\(address):\(port)"
        var hints = unsafe addrinfo()
        unsafe hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(address, "\(port)", &hints, &found) == 0, let info = unsafe found else {
            throw .listen(address: place, why: "it is no numeric IP address")
        }
        defer { unsafe freeaddrinfo(info) }
        let raw = unsafe socket(
            info.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw .listen(address: place, why: Self.reason()) }
        var yes: Int32 = 1
        _ = unsafe setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        guard unsafe bind(raw, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0, listen(raw, 256) == 0 else {
            let why = Self.reason()
            close(raw)
            throw .listen(address: place, why: why)
        }
        self.init(owning: raw)
    }

    private static func reason() -> String { unsafe String(cString: strerror(errno)) }

    /// The port that it really has.
    var port: UInt16 {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(raw, $0, &length) }
        }
        guard result == 0 else { return 0 }
        // The port is at the same place in IPv4's and IPv6's form, in network order.
        return unsafe withUnsafeBytes(of: &address) { unsafe UInt16($0[2]) << 8 | UInt16($0[3]) }
    }

    /// The next client, or nil when none waits.
    func accept() -> HubSocket? {
        let raw = Glibc.accept(self.raw, nil, nil)
        guard raw >= 0 else { return nil }
        _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
        var yes: Int32 = 1
        _ = unsafe setsockopt(raw, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
        return HubSocket(owning: raw)
    }

    /// Waits until one of the sockets can go on, at most so many milliseconds; gives those that can.
    static func wait(
        _ sockets: [(raw: Int32, wantsRead: Bool, wantsWrite: Bool)], milliseconds: Int32
    ) -> Set<Int32> {
        var list = sockets.map {
            pollfd(fd: $0.raw, events: Int16(($0.wantsRead ? POLLIN : 0) | ($0.wantsWrite ? POLLOUT : 0)), revents: 0)
        }
        guard unsafe poll(&list, nfds_t(list.count), milliseconds) > 0 else { return [] }
        return Set(list.filter { $0.revents != 0 }.map { $0.fd })
    }

    /// A peer that went away is an error of the write, not the end of this process.
    static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }
}
