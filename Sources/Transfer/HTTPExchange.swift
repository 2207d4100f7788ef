internal import CCurl
internal import Platform

/// How one request ended.
enum ExchangeOutcome {
    /// Every byte of the answer was delivered.
    case complete
    case failed(TransferError)
    /// Worth another try, behind the last delivered byte.
    case broken(TransferError, afterSeconds: UInt64?)
}

/// One request on its way: judges the head, passes the body on, and remembers how far it came.
///
/// Everything runs on the reading thread, inside libcurl's callbacks.
final class HTTPExchange {
    /// Bytes of head lines that all answers to one request may have together; libcurl bounds only a single line.
    private static let headLimit = 262_144
    /// Body bytes of a refused answer that are read to keep the connection; more ends it.
    private static let discardLimit = 65_536

    private let rule: ResponseRule
    private let state: SourceState
    private let time: any TimeSource
    /// Nil while the answer is ahead of its turn: then its body stays where it is, in the socket.
    private var deliver: ((RawSpan) throws(TransferError) -> Void)?

    private var head: ResponseHead?
    private var headBytes = 0
    private var verdict: ResponseVerdict?
    private var discarded = 0
    /// What ended the request from this side: an error of `deliver`, a limit, a cancel.
    private var ownError: TransferError?
    private var overTLS: Bool
    private(set) var stall: StallWatch
    /// Body bytes passed on.
    private(set) var delivered: UInt64 = 0
    /// What the accepted answer said about the object; set before its first byte is passed on.
    private(set) var learned: ObjectIdentity?

    init(
        rule: ResponseRule, overTLS: Bool, stall: StallWatch, state: SourceState, time: any TimeSource,
        deliver: ((RawSpan) throws(TransferError) -> Void)?
    ) {
        self.rule = rule
        self.overTLS = overTLS
        self.stall = stall
        self.state = state
        self.time = time
        self.deliver = deliver
    }

    /// The turn of an answer that was asked for ahead: it is delivered now, and the server's time counts from here.
    func start(_ deliver: @escaping (RawSpan) throws(TransferError) -> Void) {
        self.deliver = deliver
        if isConnected { stall.begin(at: time.monotonicNanoseconds()) }
    }

    /// Bytes that were asked for and did not come yet.
    var remaining: UInt64 { rule.request.count - min(delivered, rule.request.count) }

    /// Whether libcurl holds a piece back until the answer's turn.
    private(set) var isWaiting = false

    /// Whether it was ended from this side.
    var isEndedHere: Bool { ownError != nil }

    /// A connection stands, the request goes out now.
    func connected() {
        isConnected = true
        if deliver != nil { stall.begin(at: time.monotonicNanoseconds()) }
    }
    private var isConnected = false

    /// Whether the connection must be given up because the server sends too little.
    func isStalled() -> Bool { stall.isStalled(at: time.monotonicNanoseconds()) }

    /// Takes a line of the head; false ends the transfer.
    func takeHeadLine(_ bytes: RawSpan) -> Bool {
        stall.received(bytes.byteCount)
        headBytes += bytes.byteCount
        if headBytes > Self.headLimit { return fail(.unexpectedResponse, "the answer's head has no end") }
        // Lines behind the body are trailers; they decide about nothing.
        if verdict != nil { return true }
        let line = [UInt8](copying: bytes)
        if let start = ResponseHead(statusLine: line) {
            head = start
            return true
        }
        head?.take(line)
        let isEnd = line.elementsEqual("\r\n".utf8) || line.elementsEqual("\n".utf8)
        if isEnd, let head, head.isRedirect { return followed(head) }
        return true
    }

    /// libcurl follows the redirect; here only what it does not check: no way from https back to http.
    private func followed(_ head: ResponseHead) -> Bool {
        stall.suspend()
        let target = lowered((head.location ?? []).prefix(6))
        if target.starts(with: "http:".utf8) {
            if overTLS { return fail(.redirected, "the server redirects from https to http") }
        } else if target.elementsEqual("https:".utf8) {
            overTLS = true
        }
        return true
    }

    /// What becomes of a piece of the body.
    enum Reception { case taken, later, refused }

    /// Takes a piece of the body.
    func takeBody(_ bytes: RawSpan) -> Reception {
        let verdict = judged()
        if case .accept = verdict, deliver == nil {
            isWaiting = true
            return .later
        }
        state.count(bytes.byteCount)
        stall.received(bytes.byteCount)
        guard case .accept(let expected, _) = verdict, let deliver else {
            discarded += bytes.byteCount
            return discarded <= Self.discardLimit ? .taken : .refused
        }
        if UInt64(bytes.byteCount) > expected - delivered {
            _ = fail(.wrongLength, "more than the announced \(expected) bytes came")
            return .refused
        }
        let before = time.monotonicNanoseconds()
        do {
            try state.check()
            try deliver(bytes)
        } catch {
            ownError = error
            return .refused
        }
        delivered += UInt64(bytes.byteCount)
        stall.exclude(nanoseconds: time.monotonicNanoseconds() - before)
        return .taken
    }

    /// The verdict on the last head; nil before there is one.
    private func judged() -> ResponseVerdict? {
        if let verdict { return verdict }
        guard let head else { return nil }
        let made = rule.verdict(on: head)
        verdict = made
        if case .accept(_, let total) = made {
            learned = ObjectIdentity(total: total, tag: head.entityTag)
            state.learn(total: total)
        }
        return made
    }

    private func fail(_ fault: NetworkFault, _ detail: String) -> Bool {
        ownError = .network(fault, source: rule.source, detail: detail)
        return false
    }

    /// The transfer was dropped from outside of the callbacks.
    func outcome(dropped reason: TransferError, isFinal: Bool) -> ExchangeOutcome {
        isFinal ? .failed(reason) : .broken(reason, afterSeconds: nil)
    }

    /// The transfer ended with libcurl's `code`.
    func outcome(of code: CURLcode, proxyStatus: Int) -> ExchangeOutcome {
        if let ownError { return .failed(ownError) }
        // libcurl calls a refused CONNECT a receive error, although no try will change the answer.
        if code != CURLE_OK, proxyStatus == 407 || proxyStatus == 403 {
            return .failed(
                .network(.denied, source: rule.source, detail: "the proxy answered \(proxyStatus)"))
        }
        // After a clean end the head is complete even where no body came.
        if code == CURLE_OK && judged() == nil { return broken(.interrupted, "the answer was empty") }
        switch verdict {
        case .refuse(let error): return .failed(error)
        case .retry(let error, let seconds): return .broken(error, afterSeconds: seconds)
        case .accept(let expected, _):
            if delivered == expected { return .complete }
            if code == CURLE_OK {
                return broken(.interrupted, "the body ended after \(delivered) of \(expected) bytes")
            }
        case nil: break
        }
        return failure(code)
    }

    private func broken(_ fault: NetworkFault, _ detail: String) -> ExchangeOutcome {
        .broken(.network(fault, source: rule.source, detail: detail), afterSeconds: nil)
    }

    /// libcurl's code for a transfer that ended by itself. Its text is fixed and holds no part of the address.
    private func failure(_ code: CURLcode) -> ExchangeOutcome {
        let text = describe(code)
        func refused(_ fault: NetworkFault) -> ExchangeOutcome {
            .failed(.network(fault, source: rule.source, detail: text))
        }
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: return broken(.unresolved, text)
        case CURLE_COULDNT_CONNECT, CURLE_OPERATION_TIMEDOUT: return broken(.unreachable, text)
        case CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_GOT_NOTHING, CURLE_HTTP2,
            CURLE_HTTP2_STREAM:
            return broken(.interrupted, text)
        // A handshake that broke is mostly a broken connection; a certificate that does not fit stays one.
        case CURLE_SSL_CONNECT_ERROR: return broken(.insecure, text)
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR:
            return refused(.insecure)
        case CURLE_SSL_CERTPROBLEM, CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_ENGINE_SETFAILED,
            CURLE_SSL_ENGINE_INITFAILED:
            return refused(.clientKey)
        case CURLE_TOO_MANY_REDIRECTS: return refused(.redirected)
        case CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT:
            return refused(head?.isRedirect == true ? .redirected : .unexpectedResponse)
        case CURLE_WEIRD_SERVER_REPLY: return refused(.unexpectedResponse)
        case CURLE_BAD_CONTENT_ENCODING: return refused(.encoded)
        default: return refused(.library)
        }
    }
}

/// libcurl's fixed description of a code.
func describe(_ code: CURLcode) -> String {
    guard let text = unsafe curl_easy_strerror(code) else { return "error \(code.rawValue)" }
    return unsafe String(cString: text)
}
