/// What was asked for: one byte range, both ends included.
struct RangeRequest {
    let first: UInt64
    let last: UInt64
    /// Whether the object may end before `last`.
    let mayEndEarly: Bool

    var count: UInt64 { last - first + 1 }
}

/// What the first answer said about the object; every later one must agree.
struct ObjectIdentity {
    var total: UInt64?
    var tag: EntityTag?
}

/// What to do with a response, known before its first body byte is passed on.
enum ResponseVerdict {
    /// The body is `bytes` bytes of an object of `total`.
    case accept(bytes: UInt64, total: UInt64)
    case refuse(TransferError)
    /// Worth another try, not before this many seconds where the server said so.
    case retry(TransferError, afterSeconds: UInt64?)
}

/// Judges the head of a response to a range request (RFC 9110 sections 14 and 15; the field's broken servers and
/// proxies are the reason for every case).
struct ResponseRule {
    let request: RangeRequest
    let known: ObjectIdentity
    let source: String
    /// Whether the address carries a signature that may have run out.
    var isSigned = false

    func verdict(on head: ResponseHead) -> ResponseVerdict {
        switch head.status {
        case 206: partial(head)
        case 200: whole(head)
        case 401 where isSigned, 403 where isSigned:
            refuse(.addressExpired, "the server answered \(head.status) to a signed address")
        case 401, 403, 407: refuse(.denied, "the server answered \(head.status)")
        case 404, 410: refuse(.notFound, "the server answered \(head.status)")
        case 416: unsatisfiable(head)
        case 511: refuse(.notABundle, "the network asks for a login (status 511)")
        case 408, 425, 429, 500...599:
            .retry(
                .network(.serverFailed, source: source, detail: "the server answered \(head.status)"),
                afterSeconds: head.retryAfterSeconds)
        default: refuse(.unexpectedResponse, "the server answered \(head.status)")
        }
    }

    private func refuse(_ fault: NetworkFault, _ detail: String) -> ResponseVerdict {
        .refuse(.network(fault, source: source, detail: detail))
    }

    private func tooShort(_ total: UInt64) -> ResponseVerdict {
        let needed = request.mayEndEarly ? request.first + 1 : request.last + 1
        return .refuse(.outOfRange(source: source, end: needed, length: total))
    }

    /// What holds for every answer that carries bytes of the object.
    private func defect(_ head: ResponseHead) -> ResponseVerdict? {
        if head.isContradictory { return refuse(.unexpectedResponse, "the answer's headers contradict each other") }
        if head.isEncoded { return refuse(.encoded, "the body is encoded although identity was asked for") }
        if let tag = known.tag, let now = head.entityTag, tag.opaque != now.opaque {
            return refuse(.changed, "the entity tag is another one now")
        }
        return nil
    }

    private func partial(_ head: ResponseHead) -> ResponseVerdict {
        if head.isMultipart { return refuse(.wrongRange, "one range was asked for, several came") }
        if let defect = defect(head) { return defect }
        guard case .part(let first, let last, let total) = head.contentRange else {
            return refuse(.wrongRange, "status 206 without a usable Content-Range")
        }
        if let before = known.total, before != total {
            return refuse(.changed, "the length was \(before) and is \(total) now")
        }
        if total <= request.last && !request.mayEndEarly { return tooShort(total) }
        if first != request.first || last != min(request.last, total - 1) {
            return refuse(
                .wrongRange, "bytes \(request.first)-\(request.last) were asked for, \(first)-\(last) came")
        }
        let count = last - first + 1
        if let length = head.contentLength, length != count {
            return refuse(.wrongLength, "Content-Length is \(length) for a range of \(count) bytes")
        }
        return .accept(bytes: count, total: total)
    }

    /// 200 is good only when the whole object is what was asked for.
    private func whole(_ head: ResponseHead) -> ResponseVerdict {
        if head.isWebPage { return refuse(.notABundle, "a web page came instead of the bundle") }
        if let defect = defect(head) { return defect }
        guard let length = head.contentLength else {
            return refuse(.rangesIgnored, "the whole object came, without its length, instead of a range")
        }
        if let before = known.total, before != length {
            return refuse(.changed, "the length was \(before) and is \(length) now")
        }
        if request.first != 0 || length > request.count {
            return refuse(.rangesIgnored, "the whole object came instead of \(request.count) bytes")
        }
        if length == 0 || (length < request.count && !request.mayEndEarly) { return tooShort(length) }
        return .accept(bytes: length, total: length)
    }

    private func unsatisfiable(_ head: ResponseHead) -> ResponseVerdict {
        guard case .unsatisfied(let total) = head.contentRange, !head.isContradictory else {
            return refuse(.unexpectedResponse, "status 416 without the object's length")
        }
        if let before = known.total, before != total {
            return refuse(.changed, "the length was \(before) and is \(total) now")
        }
        if request.first < total {
            return refuse(.unexpectedResponse, "status 416 for a range inside the object's \(total) bytes")
        }
        return tooShort(total)
    }
}
