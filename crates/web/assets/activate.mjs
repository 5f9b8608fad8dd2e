// The activation host: the form that the page shows is sent by itself. Without this script its button does the same.

document.getElementById("activate").requestSubmit();
