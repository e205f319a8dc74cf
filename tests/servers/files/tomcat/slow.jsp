<%@page buffer="64kb" session="false"%><% Thread.sleep(4000); out.print("slow\n".repeat(600)); %>
