import Foundation

/// A drawing: strokes, each a list of points from (0, 0), the upper left corner, to (1, 1).
public struct Sketch: Equatable, Sendable {
    public private(set) var strokes: [[CGPoint]] = []

    public init() {}

    public var isEmpty: Bool {
        strokes.isEmpty
    }

    /// Starts a stroke.
    public mutating func begin(at point: CGPoint) {
        strokes.append([point])
    }

    /// Continues the last stroke; starts one if there is none.
    public mutating func move(to point: CGPoint) {
        if strokes.isEmpty {
            begin(at: point)
        } else {
            strokes[strokes.count - 1].append(point)
        }
    }

    /// Removes the last stroke.
    public mutating func undo() {
        _ = strokes.popLast()
    }

    public mutating func clear() {
        strokes = []
    }
}
