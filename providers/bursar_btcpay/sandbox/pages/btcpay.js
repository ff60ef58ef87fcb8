// Shows the checkout of an invoice in a frame over the page: window.btcpay.showInvoice(id).
(function () {
  "use strict";
  var script = document.currentScript;
  var prefix = script ? new URL("..", script.src).href.replace(/\/$/, "") : "";
  var entering = function () {}, leaving = function () {}, receiving = function () {};
  var frame = null, loaded = false, wanted = false;

  function made() {
    if (frame) { return frame; }
    frame = document.createElement("iframe");
    frame.name = "btcpay";
    frame.title = "Payment";
    frame.setAttribute("allowtransparency", "true");
    frame.style.cssText = "display:none;position:fixed;inset:0;width:100%;height:100%;border:0;z-index:2000;background:rgba(0,0,0,.6)";
    return frame;
  }
  function showFrame() {
    wanted = true;
    if (!loaded || made().style.display !== "none") { return; }
    entering();
    made().style.display = "block";
  }
  function hideFrame() {
    wanted = false;
    leaving();
    if (frame) { frame.style.display = "none"; frame.remove(); frame = null; loaded = false; }
  }
  function appendInvoiceFrame(id, params) {
    var method = typeof params === "string" ? params : params && params.paymentMethodId;
    made().src = prefix + "/i/" + encodeURIComponent(id) + "?view=modal" + (method ? "&paymentMethodId=" + encodeURIComponent(method) : "");
    if (!made().isConnected) { document.body.appendChild(made()); }
  }
  function appendAndShowInvoiceFrame(id, params) { appendInvoiceFrame(id, params); showFrame(); }

  window.addEventListener("message", function (event) {
    if (!frame || event.source !== frame.contentWindow || event.origin !== new URL(prefix, location.href).origin) { return; }
    if (event.data === "loaded") { loaded = true; if (wanted) { showFrame(); } }
    else if (event.data === "close") { hideFrame(); }
    receiving(event);
  });

  window.btcpay = {
    showFrame: showFrame,
    hideFrame: hideFrame,
    showInvoice: appendAndShowInvoiceFrame,
    appendInvoiceFrame: appendInvoiceFrame,
    appendAndShowInvoiceFrame: appendAndShowInvoiceFrame,
    onModalWillEnter: function (handler) { entering = handler; },
    onModalWillLeave: function (handler) { leaving = handler; },
    onModalReceiveMessage: function (handler) { receiving = handler; },
    setApiUrlPrefix: function (url) { prefix = url.replace(/\/$/, ""); }
  };
})();
