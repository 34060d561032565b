// Compiled with the app: declarations that Foundation has on Apple's systems only, and a stub of
// CameraPreview, the one file with Objective-C selectors, which do not compile on other systems.
import AVFoundation
import SwiftUI

extension String {
    init(localized text: String) {
        self = text
    }
}

extension ProcessInfo {
    enum ThermalState { case nominal, fair, serious, critical }
    var thermalState: ThermalState { .nominal }
    static let thermalStateDidChangeNotification = Notification.Name("thermal")
}

struct CameraPreview: View {
    let source: PreviewSource
    let camera: CameraInfo?
    let onRotation: @MainActor (CGFloat) -> Void
    let onTap: @MainActor (CGPoint) -> Void

    var body: some View {
        EmptyView()
    }
}
