public import Platform

/// Runs an `EmulatedHub` on this machine: sockets, TLS, clocks and the file that keeps its state.
public final class HubServer {
    private enum Kind {
        case device, service
    }

    private final class Client {
        let socket: HubSocket
        let stream: TLSStream
        let kind: Kind
        var requests = HTTPRequestDecoder()
        /// Requests that were not answered yet: the next one waits.
        var isBusy = false
        var closesAfterAnswer = false
        /// Bytes to write, with the time from which they may go.
        var output: [(bytes: [UInt8], from: UInt64)] = []
        var wantsWrite = false
        var isClosing = false
        let since: UInt64

        init(socket: consuming HubSocket, stream: TLSStream, kind: Kind, since: UInt64) {
            self.socket = socket
            self.stream = stream
            self.kind = kind
            self.since = since
        }
    }

    /// A client that opened a connection and does not shake hands is cut after this time.
    private static let handshakePatience: UInt64 = 10_000

    private var hub: EmulatedHub
    private let context: TLSContext
    private let devices: HubSocket
    private let service: HubSocket
    private let time: any TimeSource
    private let store: HubStore?
    private let log: (any TextSink)?
    private var clients: [HubConnection: Client] = [:]
    private var lastConnection: HubConnection = 0
    private var isDirty = false
    private var lastSave: UInt64 = 0
    private var lastTick: UInt64 = 0

    /// Listens; `run` serves. Ports may be 0: free ones are taken.
    public init(
        hub: consuming EmulatedHub, files: HubCertificates.Files, address: String, devicePort: UInt16,
        servicePort: UInt16, store: HubStore?, time: any TimeSource, log: (any TextSink)?
    ) throws(HubError) {
        HubSocket.ignoreBrokenPipes()
        context = try TLSContext(files)
        devices = try HubSocket(listenOn: address, port: devicePort)
        service = try HubSocket(listenOn: address, port: servicePort)
        self.hub = hub
        self.store = store
        self.time = time
        self.log = log
    }

    /// The port for devices: MQTT over TLS.
    public var devicePort: UInt16 { devices.port }
    /// The port for back ends: HTTPS.
    public var servicePort: UInt16 { service.port }

    /// Serves until `isStopped` says so, which is asked a few times in a second; then the state is kept.
    public func run(until isStopped: () -> Bool) throws(HubError) {
        while !isStopped() {
            step()
            try saveIfDue(force: false)
        }
        try saveIfDue(force: true)
    }

    private var now: HubTime {
        HubTime(milliseconds: time.monotonicNanoseconds() / 1_000_000, seconds: time.realSeconds())
    }

    private func step() {
        var sockets: [(raw: Int32, wantsRead: Bool, wantsWrite: Bool)] = [
            (devices.raw, true, false), (service.raw, true, false),
        ]
        let start = now.milliseconds
        var patience: UInt64 = 200
        for client in clients.values {
            var wantsWrite = client.wantsWrite
            if let next = client.output.first {
                if next.from <= start { wantsWrite = true } else { patience = min(patience, next.from - start) }
            }
            sockets.append((client.socket.raw, true, wantsWrite))
        }
        let ready = HubSocket.wait(sockets, milliseconds: Int32(clamping: patience))
        if ready.contains(devices.raw) { accept(.device) }
        if ready.contains(service.raw) { accept(.service) }
        for (connection, client) in clients.sorted(by: { $0.key < $1.key }) {
            if ready.contains(client.socket.raw) { serve(connection, client) }
            flush(connection, client)
            let isLate = !client.stream.isUp && now.milliseconds > client.since + Self.handshakePatience
            if isLate { end(connection) }
        }
        if now.milliseconds >= lastTick + 200 {
            lastTick = now.milliseconds
            perform(hub.handle(.tick, at: now))
        }
    }

    private func accept(_ kind: Kind) {
        while let socket = kind == .device ? devices.accept() : service.accept() {
            guard let stream = TLSStream(context, socket: socket.raw) else { continue }
            lastConnection += 1
            clients[lastConnection] = Client(
                socket: socket, stream: stream, kind: kind, since: now.milliseconds)
        }
    }

    private func serve(_ connection: HubConnection, _ client: Client) {
        if !client.stream.isUp {
            switch client.stream.shakeHands() {
            case .done:
                client.wantsWrite = false
                if client.kind == .device {
                    perform(hub.handle(.opened(connection, client.stream.certificate()), at: now))
                }
            case .wantsRead: client.wantsWrite = false
            case .wantsWrite: client.wantsWrite = true
            case .ended: end(connection)
            }
            if !client.stream.isUp { return }
        }
        while clients[connection] != nil, !client.isClosing {
            var bytes: [UInt8] = []
            switch client.stream.read(into: &bytes) {
            case .done: received(bytes, connection, client)
            case .wantsRead: return
            case .wantsWrite:
                client.wantsWrite = true
                return
            case .ended: return end(connection)
            }
        }
    }

    private func received(_ bytes: [UInt8], _ connection: HubConnection, _ client: Client) {
        switch client.kind {
        case .device: perform(hub.handle(.received(connection, bytes), at: now))
        case .service:
            client.requests.append(bytes)
            nextRequest(connection, client)
        }
    }

    private func nextRequest(_ connection: HubConnection, _ client: Client) {
        while !client.isBusy, clients[connection] != nil {
            do throws(HTTPRequestDecoder.Failure) {
                guard let request = try client.requests.next() else { return }
                client.isBusy = true
                client.closesAfterAnswer = request.closesConnection
                perform(hub.handle(.request(connection, request), at: now))
            } catch {
                client.closesAfterAnswer = true
                client.isBusy = true
                perform([
                    .respond(connection, .error(error == .tooLarge ? 413 : 400, "ArgumentInvalid", "no HTTP request"))
                ])
            }
        }
    }

    private func perform(_ effects: [HubEffect]) {
        for effect in effects {
            switch effect {
            case .send(let connection, let bytes, let delay):
                guard let client = clients[connection] else { continue }
                client.output.append((bytes, now.milliseconds + delay))
                flush(connection, client)
            case .close(let connection):
                guard let client = clients[connection] else { continue }
                client.isClosing = true
                flush(connection, client)
            case .respond(let connection, let response):
                guard let client = clients[connection] else { continue }
                client.output.append((response.encoded(closing: client.closesAfterAnswer), 0))
                client.isBusy = false
                if client.closesAfterAnswer { client.isClosing = true }
                flush(connection, client)
                if !client.isClosing { nextRequest(connection, client) }
            case .save: isDirty = true
            case .note(let text): log?.line(text)
            }
        }
    }

    /// Writes what may go by now; what is to be closed is closed when nothing is left.
    private func flush(_ connection: HubConnection, _ client: Client) {
        guard client.stream.isUp else {
            if client.isClosing { end(connection) }
            return
        }
        while let next = client.output.first {
            // A delayed answer does not overtake one before it: this is one stream of bytes.
            if next.from > now.milliseconds, !client.isClosing { return }
            switch client.stream.write(next.bytes[...]) {
            case .done(let count):
                client.wantsWrite = false
                if count == next.bytes.count {
                    client.output.removeFirst()
                } else {
                    client.output[0].bytes.removeFirst(count)
                }
            case .wantsRead: return
            case .wantsWrite:
                client.wantsWrite = true
                return
            case .ended: return end(connection)
            }
        }
        if client.isClosing { end(connection) }
    }

    private func end(_ connection: HubConnection) {
        guard let client = clients.removeValue(forKey: connection) else { return }
        client.stream.shutdown()
        perform(hub.handle(.closed(connection), at: now))
    }

    private func saveIfDue(force: Bool) throws(HubError) {
        guard isDirty, let store else { return }
        // Many changes in a moment are one write.
        guard force || now.milliseconds >= lastSave + 200 else { return }
        try store.save(hub)
        isDirty = false
        lastSave = now.milliseconds
    }
}
