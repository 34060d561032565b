// Stub of the parts of PhotosUI that the app uses.
import SwiftUI
public struct PhotosPickerItem: Equatable, Hashable, Sendable { public func loadTransferable<T: Sendable>(type: T.Type) async throws -> T? { nil } }
public struct PHPickerFilter { public static let images = PHPickerFilter() }
public struct PhotosPicker<L: View>: View { public init(selection: Binding<PhotosPickerItem?>, matching: PHPickerFilter?, @ViewBuilder label: () -> L) {}; public var body: Never { fatalError() } }
