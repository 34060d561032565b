import Foundation

/// A drawing: strokes of points, from (0, 0) in the upper left corner of the canvas to (1, 1).
public struct Sketch: Equatable, Sendable {
    public private(set) var strokes: [[CGPoint]] = []

    public init() {}

    public var isEmpty: Bool {
        strokes.isEmpty
    }

    /// Puts the pen down.
    public mutating func begin(at point: CGPoint) {
        strokes.append([point])
    }

    /// Moves the pen; puts it down first if no stroke has been begun.
    public mutating func move(to point: CGPoint) {
        if strokes.isEmpty {
            begin(at: point)
        } else {
            strokes[strokes.count - 1].append(point)
        }
    }

    /// Takes back the last stroke.
    public mutating func undo() {
        _ = strokes.popLast()
    }

    public mutating func clear() {
        strokes = []
    }
}
